"""What a video file's container says: frame times, orientation, pixel shape and codec (MP4, QuickTime, Matroska)."""
