"""Lifted motion beside refined motion, drawn: ``python -m benchmarks.refinement_pictures --out docs``.

Three motions that no model was trained on, seen by a noisy detector, lifted, and refined by the window loss: a walk, a
squat and a turn. Each becomes ``refinement-NAME.png``: moments of both motions with the ground's forces on the feet
(green, 1 m a body weight at the longest) and with the force on the whole body that nothing explains (red); below them
how fast the standing foot moves and how large the unexplained force is over time.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm import tqdm

from benchmarks.page.report import mocap_file
from diffmocap.body.joint_angles import JOINT_ANGLE_NAMES, URDF_FROM_SMPL, angle_trajectory
from diffmocap.body.mocap import load_split, retarget
from diffmocap.body.motion_clip import MotionClip
from diffmocap.cli.drawing.render import BodyRenderer, PosedBody, View
from diffmocap.optim.quasi_newton import Lbfgs
from diffmocap.optim.stopping import Budget
from diffmocap.physics.ground import STANDARD_GRAVITY
from diffmocap.physics.tree import global_poses
from diffmocap.refinement.window.body_points import BodyPoints
from diffmocap.refinement.window.reference import reference_motion
from diffmocap.refinement.window.task import RefinedWindow, WindowTask
from diffmocap.types import CameraIntrinsics
from training.lifting.noisy_keypoints import FRAME_S
from training.motions.lifted_windows import UP, MotionLifter, window_of

#: Split, clip, first frame, side it is seen from [rad]. The squat's take is held out of training.
MOTIONS = {
    "walk": ("test", "38_01", 12, 1.2), "squat": ("train", "14_14.1", 1, 0.5), "turn": ("test", "27_01", 114, 0.3),
}  # fmt: skip
FRAMES, MOMENTS = 64, 6
#: Evaluations of two rounds; contacts are read anew between them.
ROUNDS = (60, 60)
CELL_PX, CELL_FOV_DEG, CELL_DISTANCE_M = (200, 300), 36.0, 3.6
LONGEST_M = 1.0
FORCE_BGR, UNEXPLAINED_BGR, GRID_BGR = (70, 190, 90), (60, 60, 230), (200, 200, 200)


@dataclass(frozen=True)
class Drawn:
    """One motion and what it takes: refined or not."""

    label: str
    motion: RefinedWindow
    joints: np.ndarray
    contacts: np.ndarray


def motions_of(
    clip: MotionClip, yaw: float, lifter: MotionLifter, rounds: tuple[int, ...] = ROUNDS
) -> tuple[Drawn, Drawn, float]:
    """The lifted motion, the refined one, and the ground's height along :data:`UP`."""
    lifted = lifter.lift(clip, yaw=yaw, frames=FRAMES, at_m=(0.0, 0.1, 4.5))
    window = window_of([lifted])
    raw = WindowTask(window, lifter.points, (window.rotations[:, 0], window.pelvis[:, 0]))
    task = WindowTask(window, lifter.points, reference_motion(window, 0))
    for number, evaluations in enumerate(rounds):
        x = Lbfgs().minimize(task, task.init(1), Budget(evaluations=evaluations)).x
        if number + 1 < len(rounds):
            task = task.around(x)
    pair = [
        _drawn(label, found, lifter.points)
        for label, found in (("lifted", raw.refined(raw.init(1))), ("refined", task.refined(x.float())))
    ]
    return pair[0], pair[1], float(lifted.height)


def _drawn(label: str, motion: RefinedWindow, points: BodyPoints) -> Drawn:
    turned, joints = global_poses(motion.rotations[0], motion.pelvis[0], points.bones)
    placed = points.positions(turned).split(points.sizes, -1)[2].transpose(-1, -2) + motion.pelvis[0][:, None]
    return Drawn(label, motion, joints.numpy(), placed.numpy())


class Strip:
    """Draws moments of motions one below the other, each followed by its own view over one fixed floor."""

    def __init__(self, renderer: BodyRenderer, height: float, weight_n: float) -> None:
        self.renderer, self.floor_m, self.weight_n = renderer, -height, weight_n
        width, tall = CELL_PX
        focal = 0.5 * tall / np.tan(np.radians(CELL_FOV_DEG) / 2)
        self.intrinsics = CameraIntrinsics(width, tall, focal, focal, width / 2, tall / 2)

    def row(self, drawn: Drawn, moments: list[int]) -> np.ndarray:
        """Cells of one motion, uint8 BGR."""
        angles = angle_trajectory(drawn.motion.rotations[0].double()).numpy()
        return np.hstack([self._cell(drawn, angles[t], t) for t in moments])

    def _cell(self, drawn: Drawn, angles: np.ndarray, t: int) -> np.ndarray:
        pelvis = drawn.joints[t, 0]
        eye = np.array([pelvis[0], self.floor_m - 1.3, pelvis[2] - CELL_DISTANCE_M])
        pitch = np.radians(6.0)
        c, s = np.cos(pitch), np.sin(pitch)
        view = View(self.intrinsics, np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]]), eye)
        image = np.full((CELL_PX[1], CELL_PX[0], 3), 248, np.uint8)
        self._grid(image, view, pelvis)
        self.renderer.pose(posed_body(drawn.motion, angles, t))
        image = self.renderer.draw(view, image)
        found = drawn.motion.dynamics
        inner = min(max(t - 1, 0), found.contacts.force.shape[1] - 1)
        for force, place in zip(found.contacts.force[0, inner].numpy(), drawn.contacts[t]):
            if np.linalg.norm(force) > 0.03 * self.weight_n:
                self._arrow(image, view, place, force, FORCE_BGR)
        unexplained = found.contacts.residual.force[0, inner].numpy()
        if np.linalg.norm(unexplained) > 0.05 * self.weight_n:
            self._arrow(image, view, pelvis, unexplained, UNEXPLAINED_BGR)
        return cv2.copyMakeBorder(image, 0, 1, 0, 1, cv2.BORDER_CONSTANT, value=(225, 225, 225))

    def _arrow(self, image: np.ndarray, view: View, place: np.ndarray, force: np.ndarray, colour: tuple) -> None:
        reach = force / self.weight_n
        reach = reach * min(1.0, LONGEST_M / max(np.linalg.norm(reach), 1e-9))
        ends = np.clip(np.round(view.project_px(np.stack([place, place + reach]))[0]), -5000, 5000).astype(int)
        cv2.arrowedLine(image, tuple(ends[0]), tuple(ends[1]), colour, 2, cv2.LINE_AA, tipLength=0.18)

    def _grid(self, image: np.ndarray, view: View, pelvis: np.ndarray) -> None:
        x0, z0 = np.round(pelvis[[0, 2]] * 2) / 2
        for offset in np.arange(-2.0, 2.01, 0.5):
            for a, b in (((-2.0, offset), (2.0, offset)), ((offset, -2.0), (offset, 2.0))):
                ends = np.array([[x0 + e[0], self.floor_m, z0 + e[1]] for e in (a, b)])
                pixels = np.clip(np.round(view.project_px(ends)[0] * 16), -(2**20), 2**20).astype(int)
                cv2.line(image, tuple(pixels[0]), tuple(pixels[1]), GRID_BGR, 1, cv2.LINE_AA, 4)


def posed_body(motion: RefinedWindow, angles: np.ndarray, t: int) -> PosedBody:
    """Frame ``t`` as the URDF has it."""
    import roma

    root = roma.rotmat_to_unitquat(motion.rotations[0, t, 0] @ URDF_FROM_SMPL.T.to(motion.rotations))
    return PosedBody(dict(zip(JOINT_ANGLE_NAMES, angles.tolist())), motion.pelvis[0, t].tolist(), root.tolist())


def curves(pair: tuple[Drawn, Drawn], height: float, weight_n: float, width_px: int) -> np.ndarray:
    """Speed of the lowest sole point and the unexplained force over time, uint8 BGR."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(width_px / 100, 2.2), dpi=100)
    for drawn, colour in zip(pair, ("tab:gray", "tab:blue")):
        level = drawn.contacts @ np.array(UP) - height
        soles = [i for i in range(drawn.contacts.shape[1]) if i % 6 < 4]
        lowest = level[:, soles].argmin(1)[:-1]
        step = np.diff(drawn.contacts[:, soles], axis=0)[np.arange(len(lowest)), lowest]
        speed = np.linalg.norm(step - (step @ np.array(UP))[:, None] * np.array(UP), axis=-1) / FRAME_S
        axes[0].plot(np.arange(len(speed)) * FRAME_S, speed, color=colour, lw=1.2, label=drawn.label)
        force = drawn.motion.dynamics.contacts.residual.force[0].norm(dim=-1).numpy()
        axes[1].plot((np.arange(len(force)) + 1) * FRAME_S, 100 * force / weight_n, color=colour, lw=1.2)
    axes[0].set(xlabel="time [s]", ylabel="m/s", title="speed of the lowest point of the soles")
    axes[1].set(xlabel="time [s]", ylabel="% of weight", title="force that no contact explains", yscale="symlog")
    axes[1].set_yscale("symlog", linthresh=10)
    axes[1].set_ylim(bottom=0)
    axes[0].legend(fontsize=8)
    for axis in axes:
        axis.title.set_fontsize(9)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.canvas.draw()
    image = np.asarray(figure.canvas.buffer_rgba())[..., 2::-1].copy()
    plt.close(figure)
    return image


def picture(name: str, data: Path | None, lifter: MotionLifter, renderer: BodyRenderer) -> np.ndarray:
    """One of :data:`MOTIONS`, uint8 BGR."""
    split, clip_name, first, yaw = MOTIONS[name]
    clip = next(clip for clip in load_split(mocap_file(split, data)) if clip.name == clip_name)
    lifted, refined, height = motions_of(retarget(clip, lifter.body).frames(first, first + FRAMES), yaw, lifter)
    weight_n = float(lifter.points.total_mass) * STANDARD_GRAVITY
    strip = Strip(renderer, height, weight_n)
    moments = np.linspace(4, FRAMES - 5, MOMENTS).round().astype(int).tolist()
    rows = []
    for drawn in (lifted, refined):
        row = strip.row(drawn, moments)
        cv2.putText(row, drawn.label, (8, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (40, 40, 40), 1, cv2.LINE_AA)
        rows.append(row)
    below = curves((lifted, refined), height, weight_n, rows[0].shape[1])
    below = cv2.resize(below, (rows[0].shape[1], round(below.shape[0] * rows[0].shape[1] / below.shape[1])))
    return np.vstack([*rows, below])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0], epilog=__doc__.split("\n\n", 1)[1])
    parser.add_argument("--out", type=Path, default=Path("docs"), help="folder for the pictures (default %(default)s)")
    parser.add_argument("--data", type=Path, help="one motion file for all (default: the splits in DIFFMOCAP_DATA)")
    parser.add_argument("--motions", nargs="+", choices=MOTIONS, default=list(MOTIONS))
    args = parser.parse_args()
    torch.set_num_threads(1)
    lifter = MotionLifter()
    args.out.mkdir(parents=True, exist_ok=True)
    with BodyRenderer() as renderer:
        for name in tqdm(args.motions, unit="picture"):
            path = args.out / f"refinement-{name}.png"
            cv2.imwrite(str(path), picture(name, args.data, lifter, renderer))
            tqdm.write(str(path))


if __name__ == "__main__":
    main()
