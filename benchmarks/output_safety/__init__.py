"""What the pose pipeline publishes when its input is bad; ``__main__`` says how that is judged."""
