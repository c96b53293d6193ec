"""The parameters of pose_node, and the pipeline's settings made from them.

Default, range, unit and description of what sets a field of the pipeline's settings stand in that field; those of what
only the node knows stand here. A new field of :class:`~diffmocap.lifting.settings.LiftingSettings` is a parameter at
once, under its own name; a field of another settings class wants one line below.
"""

from __future__ import annotations

from typing import Any

from diffmocap.lifting.settings import LiftingSettings
from diffmocap.nodes.images.calibration import RECTIFIED_CHOICES
from diffmocap.nodes.parameters import from_settings, own
from diffmocap.nodes.pose.physics_parameters import DEFAULTS, GROUND, PHYSICS, physics_changes
from diffmocap.pipeline.settings import PipelineSettings
from diffmocap.refinement.stream.known_ground import KnownGround
from diffmocap.settings import settings_of, with_values
from diffmocap.types import DEFAULT_FOV_DEG, VERTICAL_FOV

#: Of the lifting settings, what no user of the node would set.
_NO_PARAMETER = {"seed"}
_SMOOTHING = "refinement.smoothing."

#: By their subjects, in the order of ``docs/parameters.md``.
GROUPS = {
    "Models": (
        own(
            "weights",
            "",
            "Lifting weights; empty: the shipped ones; student: the shipped few-step sampler, which draws many "
            "hypotheses in one or two steps.",
            live=False,
        ),
        own("body_model", "", "SMPL body (.npz); empty: the shipped licence-free one.", live=False),
        own("device", "cpu", "Where lifting runs: cpu, cuda or cuda:N."),
        own(
            "torch_threads",
            1,
            "Threads of one tensor operation on the CPU; more did not pay for one pose at a time.",
            1,
            64,
        ),
    ),
    "Sampling": tuple(
        from_settings(DEFAULTS, f"lifting.{name}") for name in settings_of(LiftingSettings) if name not in _NO_PARAMETER
    ),
    "Following hypotheses over time": (
        from_settings(DEFAULTS, "sides.enabled", "keep_sides"),
        from_settings(DEFAULTS, "track.enabled", "tracking"),
        from_settings(DEFAULTS, "track.memory_s", "track_memory"),
        from_settings(DEFAULTS, "track.switch_margin"),
        from_settings(DEFAULTS, "track.fresh_share"),
        from_settings(DEFAULTS, "track.consensus"),
        from_settings(DEFAULTS, "track.lost.error", "lost_error"),
        from_settings(DEFAULTS, "track.leaps.enabled", "hold_leaps"),
        from_settings(DEFAULTS, "track.leaps.distance_m", "leap_distance"),
        from_settings(DEFAULTS, "track.leaps.patience_s", "leap_patience"),
        from_settings(DEFAULTS, "clock.max_gap_s", "max_gap"),
    ),
    "Before publishing": (
        from_settings(DEFAULTS, "gate.enabled", "gate"),
        from_settings(DEFAULTS, "gate.confirm", "gate_confirm"),
        from_settings(DEFAULTS, "gate.lose", "gate_lose"),
        from_settings(DEFAULTS, "gate.patience_s", "gate_patience"),
        from_settings(DEFAULTS, "gate.worst_fit", "gate_fit"),
        from_settings(DEFAULTS, "gate.least_size", "gate_size"),
        from_settings(DEFAULTS, "gate.nearest_m", "gate_nearest"),
        from_settings(DEFAULTS, "gate.farthest_m", "gate_farthest"),
        from_settings(DEFAULTS, "gate.pelvis_speed", "gate_pelvis_speed"),
        from_settings(DEFAULTS, "gate.limb_speed", "gate_limb_speed"),
        from_settings(DEFAULTS, "gate.root_turn_deg", "gate_root_turn"),
    ),
    "Published motion": (
        from_settings(DEFAULTS, "motion.profile"),
        from_settings(DEFAULTS, "motion.robot_velocity"),
        from_settings(DEFAULTS, "motion.robot_acceleration"),
        from_settings(DEFAULTS, "motion.robot_jerk"),
        from_settings(DEFAULTS, "motion.robot_pelvis_acceleration"),
        from_settings(DEFAULTS, "outliers.leap", "outlier_leap"),
        from_settings(DEFAULTS, "motion.outlier_rad", "outlier_turn"),
        from_settings(DEFAULTS, "motion.predict_s", "predict_time"),
    ),
    "Refinement by physics": PHYSICS,
    "Where the floor is": GROUND,
    "Smoothing, where physics is off, cannot help, or has too little time": (
        from_settings(DEFAULTS, _SMOOTHING + "enabled", "smoothing"),
        from_settings(
            DEFAULTS,
            _SMOOTHING + "rotation.min_cutoff_hz",
            "min_cutoff",
            description="Cutoff of resting joints; lower: less jitter at rest.",
        ),
        from_settings(
            DEFAULTS,
            _SMOOTHING + "rotation.beta",
            description="Rise of the cutoff with a joint's speed; higher: less lag in motion.",
            unit="Hz per rad/s",
        ),
        from_settings(
            DEFAULTS,
            _SMOOTHING + "pelvis.min_cutoff_hz",
            "pelvis_min_cutoff",
            description="Cutoff of the resting pelvis.",
        ),
        from_settings(
            DEFAULTS,
            _SMOOTHING + "pelvis.beta",
            "pelvis_beta",
            description="Rise of the pelvis's cutoff with its speed.",
            unit="Hz per m/s",
        ),
    ),
    "Timing": (
        own(
            "budget_ms",
            50.0,
            "Latency from image to joint states above which steps, and at last physics, are given up; 0: never.",
            0.0,
            10_000.0,
            "ms",
        ),
        own("queue_depth", 2, "Keypoints that may wait; when more come the oldest are dropped.", 1, 16),
        own(
            "max_stamp_offset",
            60.0,
            "Keypoints whose stamps are farther from the clock are refused; 0: none are, as a video's own times need.",
            0.0,
            1e6,
            "s",
        ),
    ),
    "Camera": (
        own(
            "vertical_fov_deg",
            DEFAULT_FOV_DEG,
            "Vertical field of view to assume of a camera that nobody calibrated.",
            VERTICAL_FOV.low,
            VERTICAL_FOV.high,
            VERTICAL_FOV.unit,
        ),
        own(
            "rectified",
            "auto",
            "Images have no lens distortion and follow P of camera_info, not K and D; auto: where their topic's name "
            "says so (image_rect).",
            choices=RECTIFIED_CHOICES,
        ),
    ),
    "Output": (
        own("publish_tf", True, "Publish the root link human on /tf, in the frame of the images."),
        own(
            "publish_link_tf",
            False,
            "Publish the links below it on /tf, too, as robot_state_publisher otherwise does with the joint states.",
        ),
        own(
            "frame_prefix",
            "",
            "Stands before the names of the frames that this node publishes, such as alice/; robot_state_publisher and "
            "what places the camera want the same one: the launch files' argument of this name gives it to all.",
            live=False,
        ),
        own("publish_markers", True, "Publish markers where somebody subscribes to them."),
        own("markers_rate", 15.0, "Markers a second at most.", 0.1, 100.0, "Hz"),
    ),
}

PARAMETERS = tuple(parameter for group in GROUPS.values() for parameter in group)


def pipeline_settings(values: dict[str, Any], ground: KnownGround | None = None) -> PipelineSettings:
    """The pipeline's settings for these parameter values, and what is known of the ground.

    Raises:
        SettingsError: a value outside its range, or a lag that is not below the window's length.
    """
    changes = physics_changes(values) | {p.path: values[p.name] for p in PARAMETERS if p.path}
    return with_values(DEFAULTS, changes | {"refinement.ground": ground or KnownGround()})
