"""The same graph on a recording: a video file, or a bag with images.

    ros2 launch diffmocap replay.launch.py video:=squats.mp4
    ros2 launch diffmocap replay.launch.py bag:=rosbag2_2026_11_21 image_topic:=/camera/image_raw

All arguments: ``ros2 launch diffmocap replay.launch.py --show-args``.
"""

from diffmocap.graph import description
from diffmocap.nodes.launch.launching import launch_description
from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    return launch_description(description.replay())
