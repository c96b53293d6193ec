"""Look at a graph that runs elsewhere, or at the body model by itself.

    ros2 launch diffmocap view.launch.py
    ros2 launch diffmocap view.launch.py robot_state_publisher:=true   # the graph has none: `diffmocap live`
    ros2 launch diffmocap view.launch.py joint_sliders:=true

All arguments: ``ros2 launch diffmocap view.launch.py --show-args``.
"""

from diffmocap.graph import description
from diffmocap.nodes.launch.launching import launch_description
from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    return launch_description(description.view())
