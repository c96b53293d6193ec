"""The limits that a consumer reads from the robot description, joint by joint in the order of ``joint_states``."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass

import numpy as np

from diffmocap.body.joint_angles import JOINT_ANGLE_NAMES
from diffmocap.body.urdf import read_urdf


@dataclass(frozen=True)
class UrdfLimits:
    """Of the 69 joints: lower and upper [69] rad, effort [69] N m, velocity [69] rad/s."""

    lower: np.ndarray
    upper: np.ndarray
    effort: np.ndarray
    velocity: np.ndarray

    @classmethod
    def load(cls) -> UrdfLimits:
        """Those of the shipped URDF."""
        limits = {j.get("name"): j.find("limit") for j in ET.fromstring(read_urdf()).iter("joint")}
        keys = ("lower", "upper", "effort", "velocity")
        return cls(*(np.array([float(limits[name].get(key)) for name in JOINT_ANGLE_NAMES]) for key in keys))
