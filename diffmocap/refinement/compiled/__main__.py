"""Compiles what the live refinement needs, ahead: ``python -m diffmocap.refinement.compiled``.

The setup scripts call it. Without it the first start of ``pose_node`` does it, which takes half a minute.
"""

from __future__ import annotations

import time


def main() -> None:
    """Compiles everything that is not on disk yet, and says how long that took."""
    import torch

    from diffmocap.body.model import BodyModel
    from diffmocap.refinement.fixed_lag import FixedLagRefiner
    from diffmocap.refinement.live_settings import LiveSettings
    from diffmocap.refinement.physics_refiner import points_of
    from diffmocap.refinement.window_buffer import LiveFrame

    begin = time.perf_counter()
    refiner = FixedLagRefiner(points_of(BodyModel.load()), LiveSettings(budget_ms=0.0))
    pose = torch.eye(3).repeat(1, 24, 1, 1), torch.tensor([[0.0, 0.0, 3.0]]), torch.zeros(1)
    keypoints = torch.zeros(25, 2), torch.zeros(25), torch.eye(3)
    for i in range(4):
        refiner.step(LiveFrame(33_000_000 * (i + 1), *pose, *keypoints))
    print(f"physics compiled in {time.perf_counter() - begin:.1f} s")


if __name__ == "__main__":
    main()
