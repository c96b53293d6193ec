"""What physics brings to a motion, and which solver brings it: windows, the live stream, DiffPhy, and a judge."""
