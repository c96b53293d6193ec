"""Image messages, their transports and calibrations, and the quality of service under which they are received.

May import `camera` and the nodes' shared parts. A *transport* is how an image is carried (raw or compressed).
"""
