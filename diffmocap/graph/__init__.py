"""The ROS 2 graph as data: which nodes run, with which parameters, topics and frames. Imports no ROS.

Launch files and the command line both start what `description` says.
"""
