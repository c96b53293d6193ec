"""Compiles what live poses need, ahead, the refinement and the lifting: ``python -m diffmocap.refinement``.

The setup scripts call it. Without it the first start of ``pose_node`` does it, which takes a minute.
"""

from __future__ import annotations

import time

import torch


def main() -> None:
    """Compiles everything that is not on disk yet, and says how long that took."""
    from diffmocap.body.model import BodyModel
    from diffmocap.compiler import compiling_told
    from diffmocap.lifting.lifter import Lifter
    from diffmocap.lifting.network.condition import condition_from_rays
    from diffmocap.lifting.settings import POSTERIOR_MEAN
    from diffmocap.refinement.physics_refiner import points_of
    from diffmocap.refinement.prepare import compile_all

    begin = time.perf_counter()
    points = points_of(BodyModel.load())
    with compiling_told(lambda text: print(text, flush=True)):
        compile_all(points)
        lifter = Lifter.load()
        lifter.sample(condition_from_rays(torch.rand(1, 25, 2), torch.ones(1, 25)), POSTERIOR_MEAN)
        lifter.prepare()
    print(f"physics ready after {time.perf_counter() - begin:.1f} s")


if __name__ == "__main__":
    main()
