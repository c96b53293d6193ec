"""Units and limits that the compiled code and what calls it share."""

from __future__ import annotations

import numpy as np

from diffmocap.body.skeleton import NUM_JOINTS

#: Unknowns of one knot: an increment of 24 rotations [rad] and of the pelvis.
KNOT_SIZE = 3 * NUM_JOINTS + 3
#: One unit of a rotation's unknown [rad] and of a pelvis's [m]: about what lifting is off by (5.7 degrees, 5 cm).
ROTATION_UNIT, PELVIS_UNIT = 0.1, 0.05
#: The units of a knot's unknowns [75].
KNOT_UNITS = np.array([ROTATION_UNIT] * (3 * NUM_JOINTS) + [PELVIS_UNIT] * 3)
