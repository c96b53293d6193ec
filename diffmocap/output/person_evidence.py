"""How much one image's keypoints and lifted pose speak for a person, as log-odds.

Furniture that a detector takes for a person differs by much from people in each of these: how well a body explains the
keypoints, whether the detector's depths are those of that body, how sure the detector is of its keypoints, and how far
the pose jumps from image to image. None of them is enough: a table's foot is explained as well as the worst of a
person's images. Together, by a logistic regression on the logarithms, they are: of the indoor video's 174 images of the
table's foot and 1031 of six people (both classes weighted alike; every speed over at least 0.1 s), the log-odds of the
table stay below 1.5, and those of people are below 0.7 in 5 % of their images, mostly where they enter or leave the
picture. Other footage was not used for it: by video the median of its people is 4.7 to 7.5, and 1 % of their images are
below 1.8 to 4.9.

Evidence of images that follow each other is not independent. So it counts whole for the first image and for one
after :data:`INDEPENDENT_S`, and less in between; it is bounded by :data:`MOST`, so that no image decides alone against
what the others said; and it fades, as people come and go.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

#: Images this far apart count as independent [s]; speeds are over at least this time.
INDEPENDENT_S = 0.1
#: The most that one image says [nats], and the most that is believed. What is not tracked is never disbelieved by more
#: than LEAST, so that somebody who comes where a table stands is not kept waiting.
MOST, SUREST, LEAST = 3.0, 6.0, -0.5
#: The most that one image says against somebody who is tracked: people bend, and are cut off by the image's edge.
MOST_DOUBT = 2.0
#: Log-odds of a person before anything is seen, mean time until a track of nothing becomes a person's and the reverse
#: [s], and what an image without a pose says.
PRIOR, COMES_S, GOES_S, MISSED = -1.0, 10.0, 5.0, -1.0

#: Of log(fit error), log(depth error / m) and log(1 - mean confidence), and the constant.
_WEIGHTS = (-1.569, -2.655, -1.808, -13.048)
#: Of log(speed of the pelvis / (m/s)) and log(largest speed of a joint about it): against a person only. That something
#: stands still says nothing: so does furniture, where the detector's keypoints of it do.
_PELVIS_WEIGHT, _JOINT_WEIGHT = -1.521, -0.580
#: Values are taken as no less and no more than these: beyond, nothing was measured; slower is no evidence.
_FIT, _DEPTH, _DOUBT, _PELVIS, _JOINT = (0.01, 100.0), (0.02, 2.0), (0.02, 1.0), (1.5, 30.0), (5.0, 30.0)
#: Stands for the depths of a detector that has none: says little for either.
_NO_DEPTH_M = 0.08


@dataclass(frozen=True)
class Measurements:
    """What the evidence is made of.

    Attributes:
        fit_error: mean reprojection error of the sampled pose over half the person's size.
        depth_error_m: root mean square difference between the detector's depths and the body's; None: it has none.
        mean_confidence: of the keypoints that are seen.
        pelvis_m, joint_m: how far the pelvis went since the image before, and the farthest that any joint went about
            it; None where there is none.
        dt_s: time since then.
    """

    fit_error: float
    depth_error_m: float | None
    mean_confidence: float
    pelvis_m: float | None = None
    joint_m: float | None = None
    dt_s: float = 0.0


def log_odds(m: Measurements) -> float:
    """Log of the probability of these measurements of a person over that of anything else, within ``+-MOST``."""
    depth_m = _NO_DEPTH_M if m.depth_error_m is None else m.depth_error_m
    values = (_log(m.fit_error, _FIT), _log(depth_m, _DEPTH), _log(1.0 - m.mean_confidence, _DOUBT))
    total = sum(w * v for w, v in zip(_WEIGHTS, values)) + _WEIGHTS[-1]
    if m.pelvis_m is not None and m.joint_m is not None:
        step_s = max(m.dt_s, INDEPENDENT_S)
        for way_m, weight, bounds in ((m.pelvis_m, _PELVIS_WEIGHT, _PELVIS), (m.joint_m, _JOINT_WEIGHT, _JOINT)):
            total += weight * (_log(way_m / step_s, bounds) - math.log(bounds[0]))
    return min(max(total, -MOST), MOST)


class PersonBelief:
    """The log-odds that what is looked at is a person, over the images."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Something else is looked at."""
        self._log_odds = PRIOR
        self._first = True

    @property
    def probability(self) -> float:
        """0 to 1."""
        return 1.0 / (1.0 + math.exp(-self._log_odds))

    def see(self, evidence: float, dt_s: float, tracked: bool) -> None:
        """An image with this evidence, so long after the one before; it is the first where nothing was seen before."""
        self._change(dt_s)
        share = 1.0 if self._first else min(dt_s / INDEPENDENT_S, 1.0)
        self._first = False
        self._add(evidence * share, tracked)

    def miss(self, dt_s: float, tracked: bool) -> None:
        """An image without a pose."""
        self._change(dt_s)
        self._add(MISSED * min(dt_s / INDEPENDENT_S, 1.0), tracked)

    def _change(self, dt_s: float) -> None:
        """People come and go, unseen."""
        p = self.probability
        p = p * math.exp(-dt_s / GOES_S) + (1.0 - p) * -math.expm1(-dt_s / COMES_S)
        self._log_odds = math.log(p / (1.0 - p))

    def _add(self, evidence: float, tracked: bool) -> None:
        if tracked:
            self._log_odds = min(max(self._log_odds + max(evidence, -MOST_DOUBT), -SUREST), SUREST)
        else:
            self._log_odds = min(max(self._log_odds + evidence, LEAST), SUREST)


def _log(value: float, bounds: tuple[float, float]) -> float:
    return math.log(min(max(value, bounds[0]), bounds[1]))
