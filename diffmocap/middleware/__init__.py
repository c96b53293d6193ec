"""What ROS 2's middleware needs of the machine: DDS profiles, shared memory, environment, folders. Imports no ROS.

Used before rclpy is imported, by nodes, launch files and the command line. May import `errors` and `resources`. A
*profile* is the XML file that configures Fast DDS; a *segment* is a file of its shared memory under `/dev/shm`.
"""
