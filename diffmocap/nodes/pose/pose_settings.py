"""The parameters of pose_node, and the pipeline's settings made from them.

Defaults are those of the pipeline: each value has one home.
"""

from __future__ import annotations

from typing import Any

from diffmocap.keypoints.side_exchange import SideSettings
from diffmocap.lifting.lifter import LiftingSettings
from diffmocap.lifting.sampling.samplers import AUTO, SAMPLERS
from diffmocap.lifting.tracking.track import TrackSettings
from diffmocap.lifting.tracking.track_break import BreakSettings
from diffmocap.nodes.images.calibration import RECTIFIED_CHOICES
from diffmocap.nodes.parameters import Setting
from diffmocap.nodes.pose.physics_parameters import PHYSICS_SETTINGS, physics_settings
from diffmocap.pipeline import PipelineSettings
from diffmocap.refinement.filter.one_euro import OneEuroSettings
from diffmocap.refinement.filter.smoother import PELVIS_FILTER, ROTATION_FILTER, SmootherSettings
from diffmocap.refinement.stream.known_ground import KnownGround

_SIDES = SideSettings()
_LIFTING = LiftingSettings()
_TRACK = TrackSettings()
_SMOOTHING = SmootherSettings()
_SAMPLERS = "auto: ddim, or consistency for few-step students; dpm, of second order; ddpm, all steps (slow)."

SETTINGS = (
    Setting("weights", "", "Lifting weights; empty: the shipped ones; student: their few-step sampler.", live=False),
    Setting("body_model", "", "SMPL body (.npz); empty: the shipped licence-free one.", live=False),
    Setting("device", "cpu", "Where lifting runs: cpu, cuda or cuda:N."),
    Setting("torch_threads", 1, "Threads of one tensor operation on the CPU.", 1, 64),
    Setting("guidance", _LIFTING.guidance, "Weight w of classifier-free guidance; 0: none.", 0.0, 10.0),
    Setting("steps", _LIFTING.steps, "Sampler steps a frame from pure noise; a warm start walks a part.", 1, 1000),
    Setting("hypotheses", _LIFTING.hypotheses, "Poses sampled a frame.", 1, 64),
    Setting("sampler", _LIFTING.sampler, _SAMPLERS, choices=(AUTO, *SAMPLERS)),
    Setting("warm_start", _LIFTING.warm_start, "Sample from the previous pose instead of from pure noise."),
    Setting(
        "warm_start_time",
        _LIFTING.warm_start_time,
        "Noise level at which a warm start begins: near 0 keeps the previous pose, 1 forgets it.",
        0.05,
        1.0,
    ),
    Setting(
        "temperature",
        _LIFTING.temperature,
        "Scale of the first hypothesis's noise: 0 gives a steady pose; the others are drawn with all of it.",
        0.0,
        1.0,
    ),
    Setting("fresh_noise", _LIFTING.fresh_noise, "Draw new sampling noise for every frame; false: keep it over time."),
    Setting("use_depth", _LIFTING.use_depth, "Believe the detector's guess of depths, where the keypoints have one."),
    Setting("use_previous", _LIFTING.use_previous, "Tell the model the previous pose."),
    Setting("min_keypoints", _LIFTING.min_keypoints, "Fewer visible keypoints give no pose.", 4, 25),
    Setting("min_confidence", _LIFTING.min_confidence, "Keypoints below this confidence count as missing.", 0.0, 1.0),
    Setting(
        "keypoint_noise",
        _LIFTING.keypoint_noise,
        "Detector noise that the model is told: standard deviation over half the person's size.",
        0.0,
        0.1,
    ),
    Setting("keep_sides", _SIDES.enabled, "Undo it where the detector takes left for right for a moment."),
    Setting("tracking", _TRACK.enabled, "Follow hypotheses over time; false: the best score of every image."),
    Setting("track_memory", _TRACK.memory_s, "Time in which evidence for a hypothesis fades [s].", 0.01, 10.0),
    Setting(
        "switch_margin",
        _TRACK.switch_margin,
        "How much likelier another pose must be to be followed instead [nats]; higher: fewer flips, later corrections.",
        0.0,
        20.0,
    ),
    Setting(
        "fresh_share",
        _TRACK.fresh_share,
        "Share of several hypotheses that are drawn from the image alone, to find out of a wrong track.",
        0.0,
        0.75,
    ),
    Setting(
        "lost_error",
        _TRACK.lost.error,
        "Mean reprojection error over the person's half-size above which a track may be lost and starts again.",
        0.01,
        10.0,
    ),
    Setting("smoothing", _SMOOTHING.enabled, "Filter poses over time (one-euro filter)."),
    Setting(
        "min_cutoff", ROTATION_FILTER.min_cutoff_hz, "Cutoff of resting joints [Hz]; lower: less jitter.", 0.01, 100.0
    ),
    Setting(
        "beta",
        ROTATION_FILTER.beta,
        "Rise of the cutoff with a joint's speed [Hz per rad/s]; higher: less lag.",
        0.0,
        100.0,
    ),
    Setting("pelvis_min_cutoff", PELVIS_FILTER.min_cutoff_hz, "Cutoff of the resting pelvis [Hz].", 0.01, 100.0),
    Setting("pelvis_beta", PELVIS_FILTER.beta, "Rise of the pelvis's cutoff with its speed [Hz per m/s].", 0.0, 100.0),
    *PHYSICS_SETTINGS,
    Setting(
        "max_gap",
        _SMOOTHING.max_gap_s,
        "Longer gaps start a new track [s]; of slow streams those of 2.5 images and more.",
        0.05,
        10.0,
    ),
    Setting(
        "max_stamp_offset",
        60.0,
        "Keypoints whose stamps are farther from the clock are refused [s]; 0: none are, as a video's own times need.",
        0.0,
        1e6,
    ),
    Setting(
        "vertical_fov_deg", 50.0, "Field of view to assume of a camera that nobody calibrated [degrees].", 5.0, 150.0
    ),
    Setting(
        "rectified",
        "auto",
        "Images without lens distortion, to which P of camera_info belongs; auto: as their topic's name says (rect).",
        choices=RECTIFIED_CHOICES,
    ),
    Setting(
        "budget_ms",
        50.0,
        "Latency from image to joint states above which steps, and at last physics, are given up [ms]; 0: never.",
        0.0,
        10_000.0,
    ),
    Setting("queue_depth", 2, "Keypoints that may wait; when more come the oldest are dropped.", 1, 16),
    Setting("publish_tf", True, "Publish the root link human on /tf, in the frame of the images."),
    Setting(
        "publish_link_tf",
        False,
        "Publish the links below it on /tf, too, as robot_state_publisher otherwise does with the joint states.",
    ),
    Setting(
        "frame_prefix",
        "",
        "Stands before the names of the frames that this node publishes, such as alice/; robot_state_publisher and "
        "what places the camera want the same one: the launch files' argument of this name gives it to all.",
        live=False,
    ),
    Setting("publish_markers", True, "Publish markers where somebody subscribes to them."),
    Setting("markers_rate", 15.0, "Markers a second at most [Hz].", 0.1, 100.0),
    Setting("ground_frame", "map", "Frame with z up; its plane z = 0 is drawn until the floor is found; empty: none."),
)


def pipeline_settings(values: dict[str, Any], ground: KnownGround | None = None) -> PipelineSettings:
    """The pipeline's settings for these parameter values, and what is known of the ground.

    Raises:
        SettingsError: a value outside its range.
    """
    lifting = LiftingSettings(
        guidance=values["guidance"],
        steps=values["steps"],
        hypotheses=values["hypotheses"],
        sampler=values["sampler"],
        warm_start=values["warm_start"],
        warm_start_time=values["warm_start_time"],
        min_keypoints=values["min_keypoints"],
        min_confidence=values["min_confidence"],
        keypoint_noise=values["keypoint_noise"],
        temperature=values["temperature"],
        use_depth=values["use_depth"],
        use_previous=values["use_previous"],
        fresh_noise=values["fresh_noise"],
    )
    smoothing = SmootherSettings(
        enabled=values["smoothing"],
        rotation=OneEuroSettings(values["min_cutoff"], values["beta"], ROTATION_FILTER.speed_cutoff_hz),
        pelvis=OneEuroSettings(values["pelvis_min_cutoff"], values["pelvis_beta"], PELVIS_FILTER.speed_cutoff_hz),
        max_gap_s=values["max_gap"],
    )
    track = TrackSettings(
        enabled=values["tracking"],
        memory_s=values["track_memory"],
        switch_margin=values["switch_margin"],
        fresh_share=values["fresh_share"],
        lost=BreakSettings(error=values["lost_error"]),
    )
    refinement = physics_settings(values, smoothing, ground or KnownGround())
    return PipelineSettings(SideSettings(enabled=values["keep_sides"]), lifting, track, refinement)
