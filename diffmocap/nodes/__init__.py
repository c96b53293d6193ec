"""The ROS 2 nodes."""

import os

# Before NumPy is loaded: the products of the physics are small, and a pool of threads that wakes for each of them takes
# the cores of the other nodes. Torch has a setting of its own, `torch_threads`.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
