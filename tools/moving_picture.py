"""Makes the README's moving picture, docs/demo.webp, of a video that `diffmocap demo` wrote.

diffmocap demo
python tools/moving_picture.py out/demo.webm docs/demo.webp --first 190 --last 490
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
from PIL import Image


def stills(video: Path, first: int, last: int, stride: int, width: int) -> tuple[list[Image.Image], float]:
    """Every ``stride``-th frame from ``first`` to ``last``, ``width`` pixels wide, and how long each is shown [ms].

    Raises:
        SystemExit: there is no such video, or it is shorter.
    """
    capture = cv2.VideoCapture(str(video))
    rate, found = capture.get(cv2.CAP_PROP_FPS), []
    for index in range(last + 1):
        there, image = capture.read()
        if not there:
            raise SystemExit(f"{video} has no frame {index}: a video with at least {last + 1} frames is needed")
        if index >= first and (index - first) % stride == 0:
            size = width, round(image.shape[0] * width / image.shape[1])
            small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            found.append(Image.fromarray(cv2.cvtColor(small, cv2.COLOR_BGR2RGB)))
    return found, 1e3 * stride / rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path, help="what `diffmocap demo` wrote")
    parser.add_argument("picture", type=Path, help="an animated WebP, which GitHub and browsers show")
    parser.add_argument("--first", type=int, default=0, help="frame (default %(default)s)")
    parser.add_argument("--last", type=int, default=300, help="frame (default %(default)s)")
    parser.add_argument("--stride", type=int, default=2, help="of frames that are taken (default %(default)s)")
    parser.add_argument("--width", type=int, default=960, help="pixels (default %(default)s)")
    parser.add_argument("--quality", type=int, default=62, help="of WebP, 0 to 100 (default %(default)s)")
    options = parser.parse_args()
    found, shown_ms = stills(options.video, options.first, options.last, options.stride, options.width)
    found[0].save(
        options.picture,
        save_all=True,
        append_images=found[1:],
        duration=round(shown_ms),
        loop=0,
        quality=options.quality,
        method=4,
    )
    print(f"{options.picture}: {len(found)} frames, {options.picture.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
