# diffmocap on a machine without ROS 2: needs Python 3.11 (with venv and headers), a C++ compiler and make.
# Where ROS 2 is installed, see tools/setup_ros_venv.sh and the README.

PYTHON ?= python3.11
ARGS ?=

# What a sourced ROS 2, or a venv that is active in this shell, would leak into .venv.
unexport _ROS_WHEELS_BOOTSTRAP_COMPLETE AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH PYTHONHOME PYTHONPATH
unexport RMW_IMPLEMENTATION ROS_DISTRO ROS_PYTHON_VERSION ROS_VERSION
# With it every process, node and test run compiles all of its Python files again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help python setup setup-test demo test clean

help:  ## say what the targets do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile
	@echo '  ARGS="..." is handed on, for example: make demo ARGS="--source video.mp4"'

python:
	@command -v $(PYTHON) > /dev/null || { echo "$(PYTHON) not found. On Debian 12: apt install python3.11 python3.11-venv \
	python3.11-dev. Another path: make PYTHON=/path/to/python3.11" >&2; exit 1; }

setup: python  ## make .venv with all that the demo needs; does nothing where it is up to date
	@$(PYTHON) tools/bootstrap.py

setup-test: python
	@$(PYTHON) tools/bootstrap.py --test

demo: setup  ## run the whole ROS 2 graph on the bundled video and print rates and latencies
	@.venv/bin/diffmocap demo $(ARGS)

test: setup-test  ## run everything that CI runs
	@.venv/bin/python -m pytest -n 3 --dist loadgroup $(ARGS)

clean:  ## remove .venv and everything built; keeps out/ and runs/
	rm -rf .venv build install log ros_ws/build ros_ws/install ros_ws/log .pytest_cache .ruff_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
