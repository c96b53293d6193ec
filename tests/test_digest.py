"""Fingerprints of sources."""

from __future__ import annotations

import hashlib

from diffmocap.files.digest import digest_of


def test_it_tells_names_contents_and_places_apart_but_not_the_order(tmp_path):
    a, b, below = tmp_path / "a.py", tmp_path / "b.py", tmp_path / "room" / "a.py"
    below.parent.mkdir()
    for path, text in ((a, "x = 1"), (b, "x = 2"), (below, "x = 1")):
        path.write_text(text)
    first = digest_of(tmp_path, [a, b])
    assert first == digest_of(tmp_path, iter([b, a])) == hashlib.sha256(b"a.py\0x = 1\0b.py\0x = 2\0").hexdigest()
    assert digest_of(tmp_path, [below]) != digest_of(tmp_path, [a]), "another folder"
    assert digest_of(tmp_path, [a]) != first
    b.write_text("x = 3")
    assert digest_of(tmp_path, [a, b]) != first
