"""Compiles what live poses need, ahead: ``python -m diffmocap.pipeline``.

The setup scripts call it. Without it the first start of ``pose_node`` does it, which takes a minute.
"""

from __future__ import annotations

import time


def main() -> None:
    """Compiles everything that is not on disk yet, and says how long that took."""
    from diffmocap.compiler import compiling_told
    from diffmocap.pipeline.pose_pipeline import PosePipeline

    begin = time.perf_counter()
    with compiling_told(lambda text: print(text, flush=True)):
        PosePipeline.load().warm_up()
    print(f"ready after {time.perf_counter() - begin:.1f} s")


if __name__ == "__main__":
    main()
