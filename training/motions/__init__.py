"""Motion that training reads: poses of motion capture, and windows of lifted poses."""
