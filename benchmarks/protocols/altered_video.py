"""Does the pose depend on chance in the detector? A real film altered in ways that change nobody in it.

The real clip's videos (:mod:`benchmarks.protocols.real_clip`) are mirrored, turned by 10 degrees either way, or made
smaller, before the detector sees them, and what it finds is taken back to the plain image: the same man, with other
errors of the detector. All of the lifting with its defaults, without refinement, is then scored by the clip's script
against the same truth, with sides left as the detector says them and kept (``keep_sides``), for every image and for
every second one. In the frontal view (2) MediaPipe exchanges left and right for half a second.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm import tqdm

from benchmarks.detector.crop import LANDMARK_MIRROR
from benchmarks.detector.video_landmarks import VideoLandmarks, detector_key, landmarks_of, video_landmarks
from benchmarks.page.command import benchmark_parser, end_with_json, shared_options
from benchmarks.page.report import Page, page_arguments, provenance
from benchmarks.protocols.clip_poses import clip_joints
from benchmarks.protocols.real_clip import CACHE, VIEWS, Clip, View, clip_folder
from diffmocap.body.model import BodyModel
from diffmocap.camera.capture import Capture
from diffmocap.keypoints.settings import SideSettings
from diffmocap.lifting.lifter import Lifter
from diffmocap.pipeline.pose_pipeline import PosePipeline
from diffmocap.pipeline.settings import PipelineSettings
from diffmocap.refinement.filter.pose_filter import PoseFilter
from diffmocap.refinement.filter.settings import FilterSettings
from diffmocap.resources import sha256_of
from diffmocap.types import Frame, Keypoints2D


@dataclass(frozen=True)
class Alteration:
    """``mirrored`` first, then turned counterclockwise about the middle and scaled."""

    mirrored: bool = False
    turned_deg: float = 0.0
    scale: float = 1.0

    def matrix(self, width: int, height: int) -> np.ndarray:
        """[2, 3] from pixels of the plain image to the altered one's; a mirror's columns run from 0 to width - 1."""
        about = cv2.getRotationMatrix2D((width / 2, height / 2), self.turned_deg, self.scale)
        mirror = np.diag([-1.0, 1.0, 1.0]) if self.mirrored else np.eye(3)
        mirror[0, 2] = width - 1 if self.mirrored else 0.0
        return about @ mirror

    def apply(self, image: np.ndarray) -> np.ndarray:
        """The altered image [H, W, 3], of the same size."""
        height, width = image.shape[:2]
        return cv2.warpAffine(image, self.matrix(width, height), (width, height), flags=cv2.INTER_AREA)

    def undo(self, found: VideoLandmarks) -> VideoLandmarks:
        """Landmarks of altered images as landmarks of the plain ones."""
        back = cv2.invertAffineTransform(self.matrix(*found.size.tolist()))
        turn = back[:, :2] / np.sqrt(abs(np.linalg.det(back[:, :2])))
        order = LANDMARK_MIRROR if self.mirrored else np.arange(len(LANDMARK_MIRROR))
        world = found.world.copy()
        world[..., :2] = found.world[..., :2] @ turn.T
        return replace(
            found, landmarks_px=(found.landmarks_px @ back[:, :2].T + back[:, 2])[:, order].astype(np.float32),
            visibility=found.visibility[:, order], world=world[:, order].astype(np.float32),
        )  # fmt: skip


ALTERATIONS = {
    "plain": Alteration(), "turned left": Alteration(turned_deg=10, scale=0.95),
    "turned right": Alteration(turned_deg=-10, scale=0.95), "smaller": Alteration(scale=0.7),
    "mirrored": Alteration(mirrored=True), "mirrored, turned left": Alteration(True, 10, 0.95),
    "mirrored, turned right": Alteration(True, -10, 0.95), "mirrored, smaller": Alteration(True, scale=0.7),
}  # fmt: skip
#: Rows of a view: settings of the sides, and which images are taken.
ROWS = {
    "sides as the detector says them": (SideSettings(enabled=False), 1), "sides kept": (SideSettings(), 1),
    "as the detector says them, every second image": (SideSettings(enabled=False), 2),
    "kept, every second image": (SideSettings(), 2),
}  # fmt: skip


def altered_landmarks(video: Path, alteration: Alteration, plain: VideoLandmarks, cache: Path) -> VideoLandmarks:
    """What the detector finds in an altered video, in pixels of the plain one; kept in ``cache``."""
    words = f"{int(alteration.mirrored)}_{alteration.turned_deg:g}_{alteration.scale:g}"
    path = cache / f"{video.stem}-{sha256_of(video)[:16]}-{words}-{detector_key()}.npz"
    if not path.is_file():

        def images() -> Iterator[Frame]:
            with Capture(str(video), realtime=False, clock=lambda: 0) as capture:
                for frame in tqdm(capture, desc=f"detecting in {video.name}, {words}", unit="image", file=sys.stderr):
                    yield replace(frame, image=alteration.apply(frame.image))

        found = alteration.undo(replace(plain, **landmarks_of(images())))
        cache.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, **{field.name: getattr(found, field.name) for field in fields(found)})
    with np.load(path, allow_pickle=False) as data:
        return VideoLandmarks(**{field.name: data[field.name] for field in fields(VideoLandmarks)})


def row_figures(
    clip: Clip, view: View, keypoints: Sequence[Sequence[Keypoints2D]], pipeline: PosePipeline, step: int
) -> dict[str, list[float]]:
    """Of every n-th image of a view, ``step``, the script's figures for each of several detections of it."""
    judged = [t for t, frame in enumerate(view.frames) if frame % step == 0]
    rows = [view.frames[t] // step for t in judged]
    found: dict[str, list[float]] = {key: [] for key in ("pa_mpjpe_mm", "mpjpe_mm", "exchanged", "poses")}
    for detected in keypoints:
        joints = clip_joints(pipeline, detected[::step], view.intrinsics)[rows][:, clip.scorer.SMPL]
        scores = clip.scorer.score(joints, view.truth[judged], clip.fps / step)
        for key, values in found.items():
            values.append(float(scores[key]))
    return found


def measure(
    clip: Clip, detections: dict[str, list[list[Keypoints2D]]], weights: str | None, tell: Callable[[str], None]
) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Figures by view, row and key, one for each of the view's ``detections``."""
    lifter, body = Lifter.load(weights), BodyModel.load()
    figures: dict[str, dict[str, dict[str, list[float]]]] = {}
    for v, detected in detections.items():
        figures[v] = {}
        for name, (sides, step) in ROWS.items():
            tell(f"view {v}: {name}")
            settings = PipelineSettings(sides=sides, refinement=FilterSettings(enabled=False))
            pipeline = PosePipeline(lifter, PoseFilter(body), body, settings)
            figures[v][name] = row_figures(clip, clip.views[v], detected, pipeline, step)
    return figures


def table(figures: dict[str, dict[str, dict[str, list[float]]]]) -> list[str]:
    """Markdown: over the alterations the mean and the worst."""
    lines = [
        "| view | | PA-MPJPE: plain | mean | worst | MPJPE, mean | images exchanged, mean | with a pose, least |",
        "|---|---|" + "---:|" * 6,
    ]
    for v, rows in figures.items():
        for name, of in rows.items():
            pa = of["pa_mpjpe_mm"]
            cells = [pa[0], np.mean(pa), max(pa), np.mean(of["mpjpe_mm"]), np.mean(of["exchanged"])]
            poses = f"{100 * min(of['poses']):.0f} %"
            lines.append(f"| {v} | {name} | " + " | ".join(f"{cell:.1f}" for cell in cells) + f" | {poses} |")
    return lines


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = benchmark_parser(__doc__)
    shared_options(parser, "weights")
    parser.add_argument("--clip", metavar="FOLDER", help="of the real clip (default: shared/real beside the checkout)")
    parser.add_argument("--views", nargs="+", choices=VIEWS, default=list(VIEWS), help="which (default: all four)")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of the landmarks (default: %(default)s)")
    shared_options(parser, "out", "no_page", "json")
    args = page_arguments(parser, arguments)
    torch.set_num_threads(1)
    try:
        folder = clip_folder(args.clip)
    except FileNotFoundError as error:
        raise SystemExit(str(error)) from None
    clip = Clip.load(folder, args.cache)
    detections = {}
    for v in args.views:
        video = folder / f"cam0{v}.mp4"
        plain = video_landmarks(video, args.cache)
        altered = [altered_landmarks(video, how, plain, args.cache) for how in list(ALTERATIONS.values())[1:]]
        detections[v] = [x.keypoints() for x in (plain, *altered)]
    figures = measure(clip, detections, args.weights, lambda what: print(what, flush=True))
    lines = table(figures)
    print("\n".join(lines))
    if not args.no_page:
        about = " ".join(__doc__.split("\n\n", 1)[1].split())
        head = ["# A real film, altered", "", *provenance("benchmarks.altered_video", "shared/real")]
        body = [about, "", f"Detections: {'; '.join(ALTERATIONS)}.", "", *lines]
        print(Page.of_today("altered-video", args.out).write([*head, "", *body]))
    end_with_json(args, figures)


if __name__ == "__main__":
    main()
