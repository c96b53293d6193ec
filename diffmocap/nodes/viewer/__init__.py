"""What viewer_node hears and says: poses, ghosts and floor out of messages, pictures, and pose_node's parameters."""
