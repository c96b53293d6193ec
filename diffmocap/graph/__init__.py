"""The ROS graph as plain data; :mod:`diffmocap.graph.description` has the graphs, no ROS is needed to read them."""
