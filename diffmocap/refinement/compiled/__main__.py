"""Compiles what the live refinement needs, ahead: ``python -m diffmocap.refinement.compiled``.

The setup scripts call it. Without it the first start of ``pose_node`` does it, which takes half a minute.
"""

from __future__ import annotations

import time


def main() -> None:
    """Compiles everything that is not on disk yet, and says how long that took."""
    from diffmocap.body.model import BodyModel
    from diffmocap.refinement.compiled.ahead import compile_all
    from diffmocap.refinement.physics_refiner import points_of

    begin = time.perf_counter()
    compile_all(points_of(BodyModel.load()))
    print(f"physics compiled in {time.perf_counter() - begin:.1f} s")


if __name__ == "__main__":
    main()
