"""How to sample poses. Imports no torch: the command line reads the settings before it loads any model."""

from __future__ import annotations

from dataclasses import dataclass

from diffmocap.settings import check_settings, setting

#: ``ddim`` and ``dpm`` follow the ODE; ``consistency`` is for few-step students; ``ddpm`` takes every time there is.
SAMPLERS = ("ddim", "dpm", "consistency", "ddpm")
#: Stands for the sampler that the weights were made for.
AUTO = "auto"


@dataclass(frozen=True)
class LiftingSettings:
    """How to sample; every value may change between two calls.

    By default an image is lifted to five hypotheses: the centre of the distribution, drawn without noise, and four
    samples with classifier-free guidance, all four by one step of the shipped student. Each is then moved to
    the keypoints. The mean over those that show one pose (:mod:`diffmocap.lifting.tracking.consensus`) has on
    average no more error than the best single estimate, :data:`POSTERIOR_MEAN` (1.6 % less on validation clips, level
    on the real clip), and the others say what else the image may show.

    A warm start together with ``use_previous`` is steadier, but less accurate on real people, so both are off, and
    asked only where a pose leaps (:mod:`diffmocap.lifting.tracking.leap_guard`). With ``fresh_noise`` False every image
    starts from the same noise: hypothesis k goes on as hypothesis k, and poses change only as the keypoints do.
    """

    guidance: float = setting(
        1.5,
        "Weight w of classifier-free guidance of the samples; 0: the plain conditional model. The shipped student, "
        "which draws several hypotheses, knows weights up to 3; without it guidance takes at least three steps to act, "
        "and seven to act fully.",
        0.0,
        10.0,
    )
    steps: int = setting(
        1,
        "Sampler steps per frame from pure noise: 1 suffices for one hypothesis, and for the student. For other "
        "weights with several hypotheses 1 means 5. A warm start takes its share of them.",
        1,
        1000,
    )
    hypotheses: int = setting(
        5,
        "Poses sampled per frame, the first with `temperature`. The mean of those that agree is published, with their "
        "spread as covariance. 1 with temperature 0 is the posterior mean alone, for weak machines.",
        1,
        64,
    )
    sampler: str = setting(
        AUTO,
        "auto: what the weights were made for, ddim or, for few-step students, consistency; dpm: of second order; "
        "ddpm: all of the model's steps, for offline use.",
        choices=(AUTO, *SAMPLERS),
    )
    warm_start: bool = setting(False, "Sample from the previous pose with noise added instead of from pure noise.")
    warm_start_time: float = setting(
        0.5,
        "Diffusion time at which a warm start begins, as a share of the whole schedule: near 0 keeps the previous "
        "pose, 1 forgets it.",
        0.05,
        1.0,
    )
    min_keypoints: int = setting(6, "Fewer visible keypoints give no pose.", 4, 25)
    min_confidence: float = setting(0.3, "Keypoints of less confidence count as missing for the pose.", 0.0, 1.0)
    keypoint_noise: float = setting(
        0.03,
        "Detector noise that the model is conditioned on: standard deviation over half the person's size; 0: exact "
        "keypoints.",
        0.0,
        0.1,
    )
    temperature: float = setting(
        0.0,
        "Scale of the first hypothesis's sampling noise: 0 gives the steadiest pose, 1 samples the model's "
        "distribution; further hypotheses are always drawn with all of the noise.",
        0.0,
        1.0,
    )
    correction: bool = setting(
        True,
        "Move each sampled pose to the likeliest one given the keypoints and the network's known errors; needs weights "
        "that contain these.",
    )
    correction_steps: int = setting(2, "Steps of Gauss-Newton of the correction.", 1, 10)
    use_depth: bool = setting(True, "Use the detector's estimate of depths, where the keypoints come with one.")
    use_previous: bool = setting(
        False, "Tell the model the previous pose: steadier, a little less accurate; it looks less at single keypoints."
    )
    use_past: bool = setting(
        True, "Tell the model the keypoints of the last half second, where it was trained to hear them."
    )
    fresh_noise: bool = setting(
        False, "Draw new sampling noise for every frame; false: the same for all, so that poses are steady."
    )
    seed: int = setting(0, "Seed of the sampling noise.")

    def __post_init__(self) -> None:
        check_settings(self)


#: One deterministic estimate per image: the mean of the posterior, without guidance.
POSTERIOR_MEAN = LiftingSettings(hypotheses=1, guidance=0.0)
