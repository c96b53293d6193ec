"""``python -m diffmocap`` is the command ``diffmocap``, where no folder of executables is on the path."""

from diffmocap.cli.start import main

if __name__ == "__main__":
    raise SystemExit(main())
