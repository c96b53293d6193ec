"""The page's sections on exact input, made poses and the real clip, and how each protocol is defined."""

from __future__ import annotations

from benchmarks.protocols.exact_input import DEPTH_NOISE_M, NOISE
from benchmarks.protocols.exact_input import table as exact_table
from benchmarks.protocols.exact_views import CAMERA, DISTANCE_M, MISSING, PITCH_DEG
from benchmarks.protocols.footage import FLIP_M
from benchmarks.protocols.real_clip import limb_table
from benchmarks.protocols.real_clip import table as real_table
from benchmarks.protocols.straight_limbs import STRAIGHT_DEG

EXACT_PROTOCOL = (
    "**Exact input** (`benchmarks/protocols/exact_views.py`, `python -m benchmarks.exact_input`). Frames drawn from a "
    f"seed with each clip's share; the heading is any; an upright image of {CAMERA.width} x {CAMERA.height} pixels "
    f"with a vertical field of view of 59.5 degrees, its optical axis through the pelvis at {DISTANCE_M:g} m, pitched "
    f"by {PITCH_DEG[0]:g} to {PITCH_DEG[1]:g} degrees, down for half of the frames and up for the others. All 25 "
    "keypoints have confidence 1, and `keypoint_noise` is 0; depths, where they are given, are relative to the "
    "mid-hip along the ray through the person's box. Everything else is the default of `LiftingSettings`. "
    f"`shapes_noise`: betas of standard deviation 0.8, {100 * NOISE:g} % of the box's half-size as noise, which the "
    f"lifter is told, {1e3 * DEPTH_NOISE_M:g} mm of noise on each depth. `missing`: without the small toes and "
    f"{MISSING} others, drawn for each frame. `lying`, `inverted`: the body turned as a whole about a horizontal axis "
    "of any direction, by 90 and 180 degrees. PA-MPJPE and MPJPE are over the 12 limb joints, MPJPE with the middle "
    "of the hips put together. The mean pose is that of the training split, after the same alignment, which is what "
    "doing nothing gives. Inverse kinematics fits all rotations and the translation to keypoints and depths by least "
    "squares, with a Gaussian prior of the pose (mean and full covariance of the training split), from the mean pose "
    "at four headings (`benchmarks/protocols/inverse_kinematics.py`)."
)
MADE_POSES = (
    "**Made poses** (`benchmarks/lifting/made_poses.py`). 400 committed poses beyond the motion capture, a hundred "
    "each seated or squatting (hips and knees bent by 90 to 130 degrees), bent over (trunk 60 to 100 degrees from "
    "upright), kicking (a thigh 60 to 110 degrees from the trunk) and on the floor, with exact keypoints of the mean "
    "body before an upright camera as above, pitched down; PA-MPJPE as above."
)
REAL_PROTOCOL = (
    "**Real clip** (`benchmarks/protocols/real_clip.py`, `python -m benchmarks.real_clip`). Every image of four "
    "calibrated videos of one man, each by itself, in its order at 60 Hz: detector and pose pipeline with their "
    "default parameters, the camera's matrix and distortion as measured, the refinement without a time limit. The "
    "clip's own script scores the joints of the 97 judged images in that camera's optical frame: PA-MPJPE and "
    "hip-centred MPJPE in mm over the 12 limb joints (an image without a pose counts 500 mm), frames whose sides are "
    "exchanged (the pose with left and right exchanged fits better by 30 mm), lean (rotation left after the "
    "alignment) in degrees, mean acceleration of hip-centred joints in m/s² (9.0 in truth), speed of an ankle while "
    "it truly stands in m/s (0.09 in truth), distance of the pelvis from its place in m. In brackets MediaPipe's "
    f"world landmarks of the same images. A knee or elbow is straight in the image from {STRAIGHT_DEG:g} degrees "
    "between its two parts; flexion is 180 degrees less the angle at the lifted joint. Where the limb points towards "
    "the camera the truth bends it, too: the error is then what counts. A depth flip is a change of which knee is "
    f"nearer to the camera, that of the raised or that of the standing leg, each time by more than {FLIP_M:g} m, in a "
    "video of a person who balances and does neither. The footage without truth has cameras that nobody calibrated."
)


def exact_section(exact: dict) -> list[str]:
    """Every case with its baselines."""
    solved = next((f["frames"] for f in exact.get("inverse_kinematics", {}).values()), 0)
    beside = f", inverse kinematics on the first {solved} of them" if solved else ""
    return [
        "## Exact input", "", f"{exact['frames']} frames{beside}; millimetres, ± standard error over the frames.", "",
        *exact_table(exact["lifted"], exact), "",
    ]  # fmt: skip


def made_section(made: dict) -> list[str]:
    """By family of poses, without and with depth."""
    return ["## Made poses", "", "Millimetres.", "", *made_table(made), ""]


def made_table(made: dict) -> list[str]:
    """Markdown: a column for each family."""
    key = "made_poses_{}pa_mpjpe_mm"
    families = [name.rpartition("_")[2] for name in made if name.startswith(key.format("") + "_")]
    lines = [f"| PA-MPJPE | all | {' | '.join(families)} |", "|---|" + "---:|" * (1 + len(families))]
    for title, part in (("exact 2D", ""), ("with exact depth", "depth_")):
        cells = [made[key.format(part)], *(made[f"{key.format(part)}_{family}"] for family in families)]
        lines.append(f"| {title} | {' | '.join(f'{x:.1f}' for x in cells)} |")
    return lines


def real_section(real: dict) -> list[str]:
    """By view, and straight limbs and flips."""
    return ["## Real clip", "", *real_table(real), "", *limb_table(real), ""]
