"""What each term of the window loss costs, in physical units."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from diffmocap.errors import SettingsError

#: Unit of each term's size; what is weighed is its square (for hypotheses the nats themselves).
UNITS = {
    "reprojection": "m", "hypotheses": "nat", "root_force": "N/kg", "root_moment": "N m/kg", "slip": "m/s",
    "contact_gap": "m", "penetration": "m", "torque": "of strength", "torque_rate": "of strength/s",
    "joint_limits": "rad", "jerk": "m/s^3",
}  # fmt: skip


@dataclass(frozen=True)
class RefinementWeights:
    """Weights of the terms in 1 / unit^2 of :data:`UNITS`, written as 1 / (the size that costs 1)^2; 0 leaves one out.

    All terms are means over the window's frames, so that weights hold for windows of any length. Chosen on validation
    walks with errors as lifting has them.

    Attributes:
        reprojection: of a keypoint's distance from its observation in the image, in metres at the person's distance,
            robust and weighted by confidence; the mean over 25.
        hypotheses: of the distance to the mixture of hypotheses, in nats.
        root_force, root_moment: of the force [N/kg] and moment about the centre of mass [N m/kg] that no contact
            explains, robust.
        slip: of the speed along the ground of a point in contact.
        contact_gap: of the distance from the ground of a point in contact.
        penetration: of the depth below the ground of any contact point; their sum.
        torque, torque_rate: of a joint's torque over what it can give, and of its rate; the mean over joints.
        joint_limits: of what the 69 angles are beyond their limits; their sum.
        jerk: of the joints' positions; the mean over joints.
        robust_m, robust_force, robust_moment: sizes [m, N/kg, N m/kg] beyond which errors count less than their square.
    """

    reprojection: float = 1 / 0.014**2
    hypotheses: float = 1.0
    root_force: float = 1 / 3.0**2
    root_moment: float = 1 / 1.0**2
    slip: float = 1 / 0.2**2
    contact_gap: float = 1 / 0.04**2
    penetration: float = 1 / 0.01**2
    torque: float = 1 / 1.0**2
    torque_rate: float = 1 / 20.0**2
    joint_limits: float = 1 / 0.1**2
    jerk: float = 1 / 200.0**2
    robust_m: float = 0.1
    robust_force: float = 5.0
    robust_moment: float = 1.5

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            size = field.name.startswith("robust_")
            if not (math.isfinite(value) and (value > 0 if size else value >= 0)):
                raise SettingsError(
                    f"{field.name} must be a finite number {'above' if size else 'of at least'} 0, got {value}"
                )
