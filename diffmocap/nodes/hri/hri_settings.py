"""The parameters of hri_node."""

from __future__ import annotations

from diffmocap.nodes.parameters import own

PARAMETERS = (
    own("max_gap", 0.6, "A body of which no pose has come for so long is told of no more.", 0.05, 5.0, "s"),
    own("publish_tf", True, "Publish the frame body_<id> on /tf."),
)
