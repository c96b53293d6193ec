"""Camera calibration from views of a chessboard, and the YAML file that holds one."""
