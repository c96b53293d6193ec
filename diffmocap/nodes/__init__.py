"""The ROS 2 nodes, thin: messages to the core's types, one call, messages out.

`camera_node`, `keypoint_node` and `pose_node` are the programs; `images`, `pose` and `health` hold their parts,
`launch` what launch files need. In the product, nothing but launch files and the command line's supervisor and
monitor imports from here. The range of a parameter stands in the settings class of its stage.
"""

import os

# Before NumPy is loaded: the products of the physics are small, and a pool of threads that wakes for each of them takes
# the cores of the other nodes. Torch has a setting of its own, `torch_threads`.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
