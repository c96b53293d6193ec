"""A client of the viewer's page that reads everything and draws nothing."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec.msgpack
import viser
import zstandard
from websockets.sync.client import ClientConnection, connect

#: What a browser says first, by which the page counts it as somebody who looks.
_CAMERA = {
    "type": "ViewerCameraMessage", "wxyz": (1.0, 0.0, 0.0, 0.0), "position": (0.0, 0.0, 0.0), "fov": 1.0, "near": 0.1,
    "far": 100.0, "image_height": 480, "image_width": 640, "look_at": (1.0, 0.0, 0.0), "up_direction": (0.0, 0.0, 1.0),
}  # fmt: skip


def _connected(address: str, receive_buffer: int) -> socket.socket:
    """A connection whose buffer is so small; it has to be so before the connection is made."""
    found = urlsplit(address)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.connect((found.hostname, found.port))
    return sock


class PageClient:
    """A context manager around one connection.

    Args:
        address: of the page, ``http://...``.
        origin: of the page that connects, as a browser tells it; None as a program.
        receive_buffer: bytes that the system keeps for this client while it does not read; 0: as many as it likes.

    Attributes:
        received_bytes: so far.
    """

    def __init__(self, address: str, origin: str | None = None, receive_buffer: int = 0) -> None:
        self.received_bytes = 0
        self._unpack = zstandard.ZstdDecompressor()
        self._connection: ClientConnection = connect(
            address.replace("http://", "ws://"), origin=origin, subprotocols=[f"viser-v{viser.__version__}"],
            max_size=None, compression=None, open_timeout=60.0, ping_interval=None, max_queue=1, proxy=None,
            sock=_connected(address, receive_buffer) if receive_buffer else None,
        )  # fmt: skip
        self.send(_CAMERA)

    def __enter__(self) -> PageClient:
        return self

    def __exit__(self, *exception: object) -> None:
        self._connection.close()

    def send(self, message: dict[str, Any]) -> None:
        """A message of viser's protocol by its fields and ``type``."""
        self._connection.send(msgspec.msgpack.encode(message))

    def read(self, timeout_s: float) -> list[dict[str, Any]]:
        """The messages of the next package; none where none comes in time. Arrays in them stay where they are."""
        try:
            data = self._connection.recv(timeout_s, decode=False)
        except TimeoutError:
            return []
        self.received_bytes += len(data)
        packed = int.from_bytes(data[8:16], "little")
        text = self._unpack.decompress(data[16 : 16 + packed], max_output_size=int.from_bytes(data[:8], "little"))
        return msgspec.msgpack.decode(text)["messages"]

    def read_until(
        self, wanted: Callable[[dict[str, Any]], bool], meanwhile: Callable[[], Any] = lambda: None,
        timeout_s: float = 60.0, step_s: float = 0.05,
    ) -> dict[str, Any] | None:  # fmt: skip
        """The first message that is ``wanted``, None where none comes; ``meanwhile`` is called between packages."""
        for _ in range(round(timeout_s / step_s)):
            for message in self.read(step_s):
                if wanted(message):
                    return message
            meanwhile()
        return None
