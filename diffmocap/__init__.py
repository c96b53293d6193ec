"""diffmocap: realtime 3D human motion from a webcam, on a ROS 2 graph."""

__version__ = "0.1.0"
