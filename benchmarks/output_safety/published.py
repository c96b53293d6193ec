"""What comes out: the pipeline's results for a stream, as arrays, and the two rows that do next to nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.output_safety.stream import Stream
from diffmocap.body.joint_angles import NUM_ANGLES, angles_from_rotations
from diffmocap.body.model import BodyModel
from diffmocap.errors import DiffmocapError
from diffmocap.keypoints.confidence import without_uncertain
from diffmocap.lifting.lifter import Lifter
from diffmocap.lifting.settings import POSTERIOR_MEAN
from diffmocap.pipeline.pose_pipeline import PosePipeline
from diffmocap.pipeline.result import Outcome, PoseResult

#: Longer than this without a pose ends a track by default [s].
MAX_GAP_S = 0.5
#: The numbers of ``tracking_state`` in the message; UNTOLD stands where there is no such field.
UNTOLD, SEARCHING, TENTATIVE, TRACKED, PREDICTED, LOST = range(-1, 5)


@dataclass(frozen=True)
class Published:
    """N published samples of a stream of T sets of keypoints.

    Attributes:
        row: [N] of the keypoints whose image the pose is of, -1 where no stamp is the sample's. now: [N] of the
            keypoints that it came with. stamp_s: [N].
        angles, velocities, efforts: [N, 69]; efforts are NaN where none were told.
        pelvis: [N, 3] m, root: [N, 3, 3], joints: [N, 24, 3] m, in the optical frame.
        state: [N] tracking state, UNTOLD where there is none.
        told: [N] bool: that this sample does not continue the one before was told, by another track or a state between
            the two in which nobody is tracked.
        errors: of the stream, by their text, with how often.
    """

    row: np.ndarray
    now: np.ndarray
    stamp_s: np.ndarray
    angles: np.ndarray
    velocities: np.ndarray
    efforts: np.ndarray
    pelvis: np.ndarray
    root: np.ndarray
    joints: np.ndarray
    state: np.ndarray
    told: np.ndarray
    errors: dict[str, int]

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, samples: slice | np.ndarray) -> Published:
        """Some of the samples, one after the other."""
        arrays = {n: x[samples] for n, x in vars(self).items() if n != "errors"}
        return Published(**arrays, errors=self.errors)


def run(pipeline: PosePipeline, stream: Stream) -> Published:
    """The stream through a pipeline that forgets all before it, every set of keypoints in its order."""
    pipeline.reset(camera_moved=True)
    rows = {k.stamp_ns: t for t, k in reversed(list(enumerate(stream.keypoints)))}
    samples, errors = [], {}
    track, quiet = None, False
    for now, k in enumerate(stream.keypoints):
        try:
            result = pipeline.step(k, stream.intrinsics)
        except DiffmocapError as error:
            errors[str(error)] = errors.get(str(error), 0) + 1
            continue
        if result.outcome is Outcome.STALE:
            continue  # no message comes of it
        state, known = _told_of(result)
        quiet |= state in (SEARCHING, LOST)
        if result.state is None:
            continue
        body, efforts = result.state, result.efforts
        told = bool(samples) and (quiet or (known is not None and known != track))
        track, quiet = known, False
        samples.append((
            rows.get(result.stamp_ns, -1), now, 1e-9 * result.stamp_ns, result.joint_angles, result.joint_velocities,
            np.full(NUM_ANGLES, np.nan) if efforts is None else efforts, body.pelvis.numpy(),
            body.rotations[0].numpy(), body.joint_positions.numpy(), state, told,
        ))  # fmt: skip
    return _stacked(samples, errors)


def _told_of(result: PoseResult) -> tuple[int, int | None]:
    """TrackingState state and number of the track; UNTOLD and None where results have none."""
    if not hasattr(result, "tracking_state"):
        return UNTOLD, None
    return int(result.tracking_state), int(result.track_id)


def lifted(lifter: Lifter, body: BodyModel, stream: Stream) -> Published:
    """Every image's pose by itself: no memory, no gate, no physics; angles continue each other, velocities are the
    differences of angles."""
    from diffmocap.camera.lens import undistort_keypoints

    settings, samples, errors = POSTERIOR_MEAN, [], {}
    last = None
    for t, k in enumerate(stream.keypoints):
        k = without_uncertain(k, settings.min_confidence)
        if stream.intrinsics.distortion:
            k = undistort_keypoints(k, stream.intrinsics)
        try:
            poses = lifter.lift(k, stream.intrinsics, settings)
        except DiffmocapError as error:
            errors[str(error)] = errors.get(str(error), 0) + 1
            continue
        if poses is None:
            continue
        rotations, pelvis = poses.rotations[poses.best].double(), poses.pelvis[poses.best]
        joints = body.forward_kinematics(rotations.float()[None], pelvis[None])[1][0]
        stamp_s = 1e-9 * k.stamp_ns
        angles = angles_from_rotations(rotations, None if last is None else torch.from_numpy(last[0])).numpy()
        velocities = np.zeros(NUM_ANGLES)
        if last is not None and stamp_s > last[1]:
            velocities = (angles - last[0]) / (stamp_s - last[1])
        elif last is not None:
            continue
        last = angles, stamp_s
        samples.append((
            t, t, stamp_s, angles, velocities, np.full(NUM_ANGLES, np.nan), pelvis.numpy(), rotations[0].numpy(),
            joints.numpy(), UNTOLD, False,
        ))  # fmt: skip
    return _stacked(samples, errors)


def frozen(stream: Stream, first: Published) -> Published:
    """The first published pose again for every image, whatever is seen: safe, and of no use."""
    count = len(stream) if len(first) else 0
    again = first[np.zeros(count, int)]
    stamps = np.maximum.accumulate([1e-9 * k.stamp_ns for k in stream.keypoints][:count] or [0.0])
    changed = {
        "row": np.arange(count), "now": np.arange(count), "stamp_s": stamps[:count],
        "velocities": np.zeros((count, NUM_ANGLES)), "efforts": np.full((count, NUM_ANGLES), np.nan),
        "told": np.zeros(count, bool), "errors": {},
    }  # fmt: skip
    return Published(**{**vars(again), **changed})


def _stacked(samples: list[tuple], errors: dict[str, int]) -> Published:
    names = [n for n in Published.__dataclass_fields__ if n != "errors"]
    if not samples:
        shapes = {"angles": (0, NUM_ANGLES), "velocities": (0, NUM_ANGLES), "efforts": (0, NUM_ANGLES),
                  "pelvis": (0, 3), "root": (0, 3, 3), "joints": (0, 24, 3)}  # fmt: skip
        kinds = {"row": int, "now": int, "state": int, "told": bool}
        return Published(**{n: np.zeros(shapes.get(n, 0), kinds.get(n, float)) for n in names}, errors=errors)
    columns = [np.array(column) for column in zip(*samples, strict=True)]
    return Published(**dict(zip(names, columns, strict=True)), errors=errors)
