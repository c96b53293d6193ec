#!/usr/bin/env bash
# Builds diffmocap on a machine that has ROS 2 (Jazzy or newer): see --help.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv="$repository/.venv_ros"
dry_run=false
build=true

usage() {
  cat <<EOF
Usage: tools/setup_ros_venv.sh [--venv DIR] [--no-build] [--dry-run] [--help]

Prepares diffmocap on a machine with ROS 2 (Jazzy or newer), which must be sourced in this shell:

    source /opt/ros/jazzy/setup.bash
    tools/setup_ros_venv.sh

It makes a virtual environment that sees ROS 2's Python packages, installs the pinned torch, mediapipe and the rest
into it (pip does not touch the system), and builds ros_ws with the colcon of the ROS 2 install run by the
environment's Python, so that the nodes find both. Running it again updates what is there. Python 3.11 to 3.14 will do.

Where there is no NVIDIA GPU, PyTorch comes from its own index of builds for CPUs (0.2 GB instead of 3 GB to download);
DIFFMOCAP_TORCH_INDEX=URL names another index. What will be downloaded is said first, with sizes, and the disk looked at.

Options:
  --venv DIR   where the virtual environment goes (default: $venv)
  --no-build   only make the virtual environment
  --dry-run    check the machine, and print the commands instead of running them
  --help       show this text
EOF
}

fail() {
  printf 'setup_ros_venv: error: %s\n' "$*" >&2
  exit 1
}

run() {
  printf '+ %s\n' "$*"
  "$dry_run" || "$@"
}

while (($#)); do
  case "$1" in
    --venv)
      [[ -n "${2:-}" ]] || fail "--venv needs a folder"
      venv=$(realpath -m "$2")
      shift
      ;;
    --no-build) build=false ;;
    --dry-run) dry_run=true ;;
    -h | --help)
      usage
      exit 0
      ;;
    *) fail "unknown option $1; see --help" ;;
  esac
  shift
done

# --- the machine -----------------------------------------------------------------------------------------------------

[[ -n "${ROS_DISTRO:-}" && -n "${AMENT_PREFIX_PATH:-}" ]] ||
  fail "ROS 2 is not sourced in this shell. Run: source /opt/ros/<distro>/setup.bash
Without a ROS 2 install, use \`make demo\` instead: it brings ROS 2 from PyPI."

case "$ROS_DISTRO" in
  dashing | eloquent | foxy | galactic | humble | iron)
    fail "ROS 2 $ROS_DISTRO is too old; Jazzy or newer is needed" ;;
esac

[[ -z "${_ROS_WHEELS_BOOTSTRAP_COMPLETE:-}" ]] ||
  fail "this shell was started from a Python with the ROS 2 wheels of \`make setup\`. Use a new shell"

python=$(command -v python3) || fail "python3 not found"
[[ -z "${VIRTUAL_ENV:-}" ]] || fail "a virtual environment is active ($VIRTUAL_ENV). Run \`deactivate\` first"

version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
case "$version" in
  3.11 | 3.12 | 3.13 | 3.14) ;;
  *) fail "Python 3.11, 3.12, 3.13 or 3.14 is needed, for which the pinned packages have wheels; ROS 2 $ROS_DISTRO uses
Python $version here ($python). Jazzy and Kilted come with Python 3.12 (Ubuntu 24.04), Lyrical with a newer one" ;;
esac

"$python" -c 'import rclpy' 2>/dev/null ||
  fail "ROS 2 $ROS_DISTRO is sourced, but $python cannot import rclpy. Install ros-$ROS_DISTRO-ros-base, or use the
python3 of that ROS 2 install (is another one, such as pyenv's or conda's, first in PATH?)"

"$python" -c 'import venv, ensurepip' 2>/dev/null || fail "python3-venv is missing. Run: sudo apt install python3-venv"

if "$build"; then
  "$python" -c 'import colcon_core' 2>/dev/null ||
    fail "colcon is missing. Run: sudo apt install python3-colcon-common-extensions"
fi

for package in robot_state_publisher tf2_ros rviz2 launch_ros; do
  found=false
  IFS=: read -ra prefixes <<<"$AMENT_PREFIX_PATH"
  for prefix in "${prefixes[@]}"; do
    [[ -e "$prefix/share/ament_index/resource_index/packages/$package" ]] && found=true
  done
  "$found" || printf 'setup_ros_venv: warning: %s is not installed. Run: sudo apt install ros-%s-%s\n' \
    "$package" "$ROS_DISTRO" "${package//_/-}" >&2
done

# --- the virtual environment -----------------------------------------------------------------------------------------

run "$python" -m venv --system-site-packages "$venv"
run touch "$venv/COLCON_IGNORE" # or colcon would look for packages in it

# Torch first and alone: see requirements/torch.txt. Which build, and whether all of it fits, is looked up before.
parts=(torch base)
[[ "$version" == 3.11 ]] && parts+=(render) # PyBullet draws the demo's video; it has wheels up to Python 3.11
torch=(-r "$repository/requirements/torch.txt")
if ! "$dry_run"; then
  if ! "$venv/bin/python" -c 'import torch' 2>/dev/null; then
    plan=$("$venv/bin/python" "$repository/tools/setup_plan.py" --venv "$venv" "${parts[@]}") || exit 1
    mapfile -t torch <<<"$plan"
  fi
fi
run "$venv/bin/python" -m pip install "${torch[@]}"
run "$venv/bin/python" -m pip install -r "$repository/requirements/base.txt"
for part in "${parts[@]:2}"; do
  run "$venv/bin/python" -m pip install --only-binary :all: -r "$repository/requirements/$part.txt" ||
    printf 'setup_ros_venv: warning: requirements/%s.txt could not be installed; the graph runs without it\n' "$part" >&2
done

# mediapipe brings opencv-contrib-python. A second OpenCV package in the same environment overwrites its files.
if ! "$dry_run"; then
  second=$("$venv/bin/python" -m pip list --local --format=freeze | grep -iE '^opencv-' | grep -v '^opencv-contrib-python==' || true)
  [[ -z "$second" ]] || fail "a second OpenCV is in $venv: $second. Run: $venv/bin/pip uninstall ${second%%==*}, then
remove $venv/lib/python$version/site-packages/cv2 and run this again"
fi

# --- the workspace ---------------------------------------------------------------------------------------------------

if "$build"; then
  # Older releases of colcon do not read ros_ws/colcon_defaults.yaml by themselves.
  run cd "$repository/ros_ws"
  run env "COLCON_DEFAULTS_FILE=$repository/ros_ws/colcon_defaults.yaml" "$venv/bin/python" -m colcon build
  # What colcon installed is a copy of its own; each keeps its compiled code beside it.
  run bash -c "source '$repository/ros_ws/install/setup.bash' && '$venv/bin/python' -m diffmocap.refinement" ||
    printf 'setup_ros_venv: warning: the physics could not be compiled ahead; the first start of pose_node will try\n' >&2
fi

cat <<EOF

Done. In every new shell:

    source /opt/ros/$ROS_DISTRO/setup.bash
    source $venv/bin/activate
    source $repository/ros_ws/install/setup.bash

    ros2 launch diffmocap webcam.launch.py
EOF
