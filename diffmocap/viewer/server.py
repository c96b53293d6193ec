"""The page's server: viser, for this computer alone unless told otherwise, and for pages of its own only.

Three things that viser leaves open are closed here. It listens on all interfaces by default. It lets any page that the
user's browser shows connect to it, also one from the internet, which would see the camera and move the parameters. And
it offers to publish the page through a relay on the internet.
"""

from __future__ import annotations

import contextlib
import http
import io
import itertools
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import viser
import websockets.asyncio.server
from viser import _messages as messages

from diffmocap.errors import SettingsError
from diffmocap.viewer.loopback import is_loopback

#: What a connection may hold that its browser has not taken yet; a slow one then gets the newest state, and misses what
#: was between [bytes]. The system doubles it.
SEND_BUFFER_BYTES = 64 * 1024
#: How many ports are tried one after the other; viser gives up silently after a thousand, and its caller waits forever.
PORTS = 100
LAST_PORT = 65535


def refusal(host: str, asked: str | None, origin: str | None) -> str:
    """Why a browser's request is refused; empty where it may be answered.

    Args:
        host: that is listened at.
        asked: header ``Host``, the address that the browser asked.
        origin: header ``Origin``, of the page that asks; None of the first request for the page, and of programs.
    """
    asked_name, origin_name = urlsplit(f"//{asked or ''}").hostname or "", None
    if origin is not None:
        origin_name = urlsplit(origin).hostname or ""
    if is_loopback(host):
        # A foreign name that leads here would make its owner's page one of this origin. Any port: it may be forwarded.
        if not is_loopback(asked_name):
            return f"this page is for this computer alone and was asked for as '{asked_name}'"
        if origin_name is not None and not is_loopback(origin_name):
            return f"a page of '{origin_name}' may not connect"
    elif origin_name is not None and origin_name != asked_name:
        return f"a page of '{origin_name}' may not connect"
    return ""


def open_server(host: str, port: int) -> viser.ViserServer:
    """Serves an empty page at the address, or at the next free port; where none of :data:`PORTS` is, at any.

    Raises:
        SettingsError: this computer has no such address.
    """
    _check_address(host)
    with _guarded(host), contextlib.redirect_stdout(io.StringIO()):  # it prints a banner
        server = viser.ViserServer(host=host, port=port, verbose=False)
    server._websock_server.unregister_handler(messages.ShareUrlRequest)
    server.gui.configure_theme(show_logo=False, show_share_button=False, control_width="large", dark_mode=True)
    server.gui.set_panel_label("diffmocap")
    return server


def address_of(server: viser.ViserServer) -> str:
    """What to open in a browser."""
    host = server.get_host()
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    return f"http://{f'[{host}]' if ':' in host else host}:{server.get_port()}"


def _check_address(host: str) -> None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host or None, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.bind(address)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(
            f"the viewer cannot listen at host '{host}': {reason}; expected an address of this computer, 127.0.0.1 for "
            "itself alone"
        ) from error


@contextlib.contextmanager
def _guarded(host: str) -> Iterator[None]:
    """While viser opens its socket: every request is looked at first, which viser has no option for."""
    serve, attempts = websockets.asyncio.server.serve, itertools.count()

    def guarded(handler: Any, address: str, port: int, *, process_request: Any, **options: Any) -> Any:
        if port > LAST_PORT or next(attempts) >= PORTS:
            port = 0  # the system's choice

        def process(connection: Any, request: Any) -> Any:
            if why := refusal(host, request.headers.get("Host"), request.headers.get("Origin")):
                return connection.respond(http.HTTPStatus.FORBIDDEN, f"{why}\n")
            peer = connection.transport.get_extra_info("socket")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            return process_request(connection, request)

        return serve(handler, address, port, process_request=process, **options)

    websockets.asyncio.server.serve = guarded
    try:
        yield
    finally:
        websockets.asyncio.server.serve = serve
