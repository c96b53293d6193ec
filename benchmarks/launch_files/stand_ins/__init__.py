"""Small programs in the place of ROS packages that have no wheel, for runs of the launch files without a full install.

robot_state_publisher, tf2_ros' static_transform_publisher, rviz2 and joint_state_publisher_gui are executables that
``launch_ros`` finds as it finds the real ones, ``ros2 bag play`` is an extension of the real ``ros2``:

    python -m benchmarks.launch_files.stand_ins FOLDER [--without PACKAGE]

writes an ament prefix for them. On a ROS 2 install the real packages are used, and none of this.
"""
