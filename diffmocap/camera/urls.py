"""URLs as they may be shown: a camera's address often holds its password or a token."""

from __future__ import annotations

import re

HIDDEN = "***"
_HOST = re.compile(r"(\[[0-9a-fA-F:.%]+\]|[\w.-]*)(:\d*)?")
_END_OF_AUTHORITY = re.compile(r"[/?#]")


def without_secrets(url: str) -> str:
    """``url`` without user and password, and with the values of its query hidden.

    People write passwords with characters that end that part of a URL (``/``, ``?``, ``#``, ``@``). What may be the
    password is hidden, even where it is part of a path then.
    """
    scheme, _, rest = url.partition("://")
    authority, tail = _split(rest)
    if "@" in re.split("[?#]", tail, maxsplit=1)[-1] and re.search("[?#]", tail):
        return f"{scheme}://{HIDDEN}"
    if "@" in tail and not ("@" in authority and tail.rpartition("@")[2].isdigit()):
        # No host is a plain number, so `live@1` is a path behind a user that was given before.
        authority, tail = _split(tail.rpartition("@")[2])
        authority = f"{HIDDEN}@{authority}"
    user, _, host = authority.rpartition("@")
    if not _HOST.fullmatch(host):
        return f"{scheme}://{HIDDEN}"
    path, question, query = tail.partition("#")[0].partition("?")
    shown = f"{HIDDEN}@{host}" if user == HIDDEN else host
    return f"{scheme}://{shown}{path}{question}{_without_values(query)}"


def _split(rest: str) -> tuple[str, str]:
    """Authority and what follows it."""
    end = _END_OF_AUTHORITY.search(rest)
    return (rest, "") if end is None else (rest[: end.start()], rest[end.start() :])


def hide_secrets(text: str, url: str) -> str:
    """``text`` with the URL, wherever it stands in it, as it may be shown."""
    return text.replace(url, without_secrets(url)) if "://" in url else text


def has_secrets(url: str) -> bool:
    """Whether something of it must not be shown."""
    return "://" in url and without_secrets(url) != url


def _without_values(query: str) -> str:
    parts = re.split("([&;])", query)
    return "".join(part if part in "&;" else _without_value(part) for part in parts if part)


def _without_value(part: str) -> str:
    name, equals, _ = part.partition("=")
    return f"{name}={HIDDEN}" if equals else HIDDEN
