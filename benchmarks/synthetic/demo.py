"""Make the bundled demo clip: walking, turning, waving, jumping jacks and squats in one take.

    python -m benchmarks.synthetic.demo --data DATA --out media      # needs `pip install imageio-ffmpeg`

DATA is the folder of the motion capture splits (``cmu_smpl30_train.npz``, ``cmu_smpl30_test.npz``).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from benchmarks.synthetic.appearance import Appearance
from benchmarks.synthetic.h264 import write_h264
from benchmarks.synthetic.motion import Piece, assemble
from benchmarks.synthetic.video import View, film
from diffmocap.body.mocap import load_split, retarget
from diffmocap.body.model import BodyModel

#: 27_01 is of the test split; subject 14's takes are listed in training/held_out.txt.
PIECES = (
    Piece("27_01"),  # walks away, turns round, walks back
    Piece("14_24", 335, 480),  # both arms up, waving
    Piece("14_06.0", 0, 75),  # jumping jacks
    Piece("14_06.0", 262),  # squats; the take has gaps at the deepest points
    Piece("14_06.1", overlap=3),
    Piece("14_06.2", 0, 45, overlap=3),
    Piece("14_06.2", 575, 740),  # turns from side to side
)
VIEW = View(yaw_deg=213.0, height_m=1.45, vertical_fov_deg=50.0, width=640, height=480)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the motion capture splits")
    parser.add_argument("--out", type=Path, default=Path("media"), help="folder for demo.mp4 and demo.npz")
    args = parser.parse_args()
    body = BodyModel.load()
    wanted = {piece.clip for piece in PIECES}
    clips = {
        clip.name: retarget(clip, body)
        for split in ("train", "test")
        for clip in load_split(args.data / f"cmu_smpl30_{split}.npz")
        if clip.name in wanted
    }
    motion = assemble(PIECES, clips)
    truth, images = film(motion, body, VIEW, Appearance())
    args.out.mkdir(parents=True, exist_ok=True)
    frames = write_h264(args.out / "demo.mp4", tqdm(images, total=len(motion), unit="frame"), motion.fps)
    truth.save(args.out / "demo.npz")
    print(f"{args.out / 'demo.mp4'}: {frames} frames, {frames / motion.fps:.1f} s")


if __name__ == "__main__":
    main()
