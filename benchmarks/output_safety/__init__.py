"""What the pose pipeline publishes when its input is bad: :mod:`benchmarks.output_safety.__main__` says how it is judged."""
