"""What a video file's container says: frame times, orientation, shape of pixels, codec (MP4/QuickTime and Matroska/WebM)."""
