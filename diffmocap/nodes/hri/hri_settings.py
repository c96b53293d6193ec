"""The parameters of hri_node."""

from __future__ import annotations

from diffmocap.nodes.parameters import own

PARAMETERS = (
    own("max_gap", 0.6, "A body without a pose for so long is removed from the list of bodies.", 0.05, 5.0, "s"),
    own("publish_tf", True, "Publish the frame body_<id> on /tf."),
)
