"""``ros2 launch`` of the launch files against real ROS 2 installs; :mod:`benchmarks.launch_files.__main__` runs it."""
