"""What each term of the window loss costs, in physical units."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from diffmocap.settings import Setting, check_settings, setting

_TERM = "term"


def _weight(costs_1: float, unit: str, measures: str) -> Any:
    """The field of a term's weight, 1 / (the size that costs 1)^2; ``unit`` is that of the size."""
    made = setting(1 / costs_1**2, f"Weight of the term that measures {measures}.", 0.0)
    return field(default=made.default, metadata={**made.metadata, _TERM: Setting(measures, unit=unit)})


@dataclass(frozen=True)
class RefinementWeights:
    """Weights of the terms in 1 / unit^2 of :data:`UNITS`, written as 1 / (the size that costs 1)^2; 0 leaves one out.

    All terms are means over the window's frames, so that weights hold for windows of any length; for ``hypotheses`` it
    is the nats themselves that are weighed, not their square. Chosen on validation walks with errors as lifting has
    them.
    """

    reprojection: float = _weight(
        0.014,
        "m",
        "the distance of a keypoint from where it was seen, at the person's distance, robust, weighted by confidence",
    )
    hypotheses: float = _weight(1.0, "nat", "the distance to the mixture of the lifted hypotheses")
    root_force: float = _weight(
        3.0, "N/kg", "the force on the whole body that no contact explains, by its mass, robust"
    )
    root_moment: float = _weight(
        1.0, "N m/kg", "the moment about the centre of mass that no contact explains, by its mass, robust"
    )
    slip: float = _weight(0.2, "m/s", "the speed along the ground of what touches it")
    contact_gap: float = _weight(0.04, "m", "the distance from the ground of what touches it")
    penetration: float = _weight(0.01, "m", "the depth below the ground, summed over contact points")
    torque: float = _weight(1.0, "of strength", "the torque of a joint over what it can give, as a mean over joints")
    torque_rate: float = _weight(20.0, "of strength/s", "the rate of the torque, as a mean over joints")
    joint_limits: float = _weight(0.1, "rad", "what the 69 angles are beyond their limits, summed")
    jerk: float = _weight(200.0, "m/s^3", "the third derivative of the joints' positions, as a mean over joints")
    robust_m: float = setting(
        0.1, "Distance of a keypoint beyond which errors count less than their square.", 1e-6, None, "m"
    )
    robust_force: float = setting(5.0, "Force beyond which errors count less than their square.", 1e-6, None, "N/kg")
    robust_moment: float = setting(
        1.5, "Moment beyond which errors count less than their square.", 1e-6, None, "N m/kg"
    )

    def __post_init__(self) -> None:
        check_settings(self)


#: What each term measures, and the unit of its size; what is weighed is its square (for hypotheses the nats).
TERMS: dict[str, Setting] = {f.name: f.metadata[_TERM] for f in fields(RefinementWeights) if _TERM in f.metadata}
UNITS = {name: term.unit for name, term in TERMS.items()}
