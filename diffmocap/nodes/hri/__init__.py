"""The parts of hri_node, which tells of a person as REP-155 (ROS4HRI) does: parameters, messages, what one body has.

`rep155` has the standard's model, and needs no ROS.
"""
