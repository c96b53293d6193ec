"""Makes the prior of poses that ships: ``python -m training.motions.pose_prior --data cmu_smpl30_train.npz``."""

from __future__ import annotations

import argparse
from pathlib import Path

from diffmocap.body.mocap import load_split
from diffmocap.fitting.pose_prior import SHIPPED_PRIOR, PosePrior
from training import program
from training.held_out import HELD_OUT_CLIPS
from training.manifest import ACKNOWLEDGEMENT, MODELS, write_entry
from training.motions.poses import every_nth_of_each_clip

#: Frames of a second look alike: one in so many is counted.
EVERY = 15


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="motion capture of the training split")
    parser.add_argument("--models", type=Path, default=MODELS, help="folder to ship to (default: models/)")
    args = parser.parse_args(arguments)
    frames = every_nth_of_each_clip(load_split(args.data, HELD_OUT_CLIPS), EVERY)
    place = args.models / SHIPPED_PRIOR
    PosePrior.of_rotations(frames).save(place)
    data = {"clips": [args.data.name], "frames": len(frames), "acknowledgement": ACKNOWLEDGEMENT}
    write_entry(args.models, place.name, {"kind": "prior of poses", "licence": "Apache-2.0", "data": data})
    print(f"shipped {place}, of {len(frames)} frames")


if __name__ == "__main__":
    program.run(main)
