"""Imported once by the process that the nodes of these tests are forked from: what they would import and load.

Their compiled functions are in memory then, too, as after a first person.
"""

import mediapipe  # noqa: F401

import diffmocap.nodes.camera_node
import diffmocap.nodes.keypoint_node
import diffmocap.nodes.retarget_node  # noqa: F401
from diffmocap.nodes.pose_node import PosePipeline

PosePipeline.load().warm_up()
