"""A person in front of a camera becomes joint states: camera, keypoints, pose, robot model, RViz.

    ros2 launch diffmocap webcam.launch.py
    ros2 launch diffmocap webcam.launch.py source:=/dev/video2 device:=cuda camera_height:=1.4 camera_pitch:=0.2
    ros2 launch diffmocap webcam.launch.py camera:=false image_topic:=/usb_cam/image_raw camera_frame:=default_cam

All arguments: ``ros2 launch diffmocap webcam.launch.py --show-args``.
"""

from diffmocap.graph import description
from diffmocap.nodes.launch.launching import launch_description
from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    return launch_description(description.webcam())
