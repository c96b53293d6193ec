"""How programs of training end: an error is a sentence, as on the command line of diffmocap, and the exit code is 1."""

from __future__ import annotations

from collections.abc import Callable

from diffmocap.errors import DiffmocapError


def run(main: Callable[[], object]) -> None:
    """Runs a program.

    Raises:
        SystemExit: with the words of an error that the user can do something about.
    """
    try:
        main()
    except DiffmocapError as error:
        raise SystemExit(str(error)) from error
    except OSError as error:  # a folder that is not there, a full disk
        where = "" if error.filename is None else f"{error.filename}: "
        raise SystemExit(f"{where}{error.strerror or error}") from error
