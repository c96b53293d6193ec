"""What ROS 2's middleware needs of the machine, without importing ROS: DDS profiles, shared memory, environment, folders.

Used before rclpy is imported, by nodes, launch files and the command line. May import `errors` and `resources`. A
*profile* is the XML file that configures Fast DDS; a *segment* is a file of its shared memory under `/dev/shm`.
"""
