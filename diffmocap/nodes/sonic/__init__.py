"""The parts of sonic_node: `sonic_settings` declares its parameters, `pose_socket` is what SONIC connects to."""
