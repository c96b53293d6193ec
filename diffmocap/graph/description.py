"""The graphs that diffmocap starts, and the frames around its camera.

One description serves both ways to have ROS 2: the launch files turn it into launch actions, and the command
line's supervisor starts the same nodes itself.

Frames (REP-103, REP-105): ``map`` stands on the floor below the camera, x forward as the camera looks, z up;
``camera_link`` is the camera's body, x forward; ``camera_optical_frame``, the frame of the images, which other drivers
name otherwise, looks along z, x right, y down; ``human`` is the body's root. All have ``frame_prefix`` before them.
"""

from __future__ import annotations

import math

from diffmocap.body.skeleton import ROOT_LINK
from diffmocap.graph.elements import (
    BOOLEANS,
    URDF,
    Argument,
    Given,
    Graph,
    Implied,
    InFile,
    NodeProcess,
    StaticTransform,
    ToolProcess,
    When,
)
from diffmocap.graph.frames import CAMERA_FRAME, MAP_FRAME, OPTICAL_FRAME, prefixed
from diffmocap.graph.rviz_config import RvizConfig, shipped_rviz_config
from diffmocap.middleware.network import LOCAL, NETWORK_DESCRIPTION, NETWORKS
from diffmocap.resources import share_path

#: A robot's own joint_states and robot_description have none.
NAMESPACE = "human"
#: Of a camera whose height nobody gave, for the frames alone [m].
CAMERA_HEIGHT_M = 1.0
#: For the nodes and a bag's player to find each other, which takes up to a few seconds on a busy machine [s].
BAG_DELAY_S = "3.0"
LOG_LEVELS = ("debug", "info", "warn", "error", "fatal")
SIM_TIME = {"use_sim_time": Given("use_sim_time", bool)}


def webcam() -> Graph:
    """A camera, the pipeline, and everything to look at it."""
    return Graph(
        name="webcam",
        arguments=(
            Argument("source", "", "Camera: device index, file or URL; empty: as the parameter file says."),
            Argument("camera", "true", "Start camera_node; false where another driver publishes the images.", BOOLEANS),
            Argument("use_sim_time", "false", "Take time from /clock.", BOOLEANS),
            *_common_arguments(),
        ),
        nodes=(
            *_pipeline_nodes(),
            _camera_node({"source": Given("source")}, When("camera"), may_wait=True),
            *_viewing_nodes(beside_pose_node=True),
        ),
        static_transforms=_camera_frames(),
        at_most_one_true=_LIMBS_ONCE,
    )


def replay() -> Graph:
    """A video file or a bag instead of the camera."""
    ends = When("on_end", "exit")
    return Graph(
        name="replay",
        arguments=(
            Argument("video", "", "Video file to play."),
            Argument("bag", "", "Bag to play: one with images and, where the camera was calibrated, its camera_info."),
            Argument(
                "on_end",
                "stop",
                "At the end: keep the graph as it is, start over, or shut down.",
                ("stop", "loop", "exit"),
            ),
            Argument(
                "use_sim_time",
                "",
                "Take time from /clock; default: true for a bag, which publishes it, false for a video.",
                ("", *BOOLEANS),
                default_with=(When("bag", None), "true"),
            ),
            *_common_arguments(),
        ),
        nodes=(
            *_pipeline_nodes(),
            _camera_node({"source": Given("video"), "on_end": Given("on_end")}, When("video", None), ends_graph=ends),
            *_viewing_nodes(beside_pose_node=True),
        ),
        tools=(
            ToolProcess(
                # Its default clock of 40 Hz is coarser than the times that diagnostics are about; and what listens
                # has to find the player before it begins, or misses the first images.
                ("ros2", "bag", "play", Given("bag"), "--clock", "200", "--delay", BAG_DELAY_S),
                package="ros2bag",
                options=((When("on_end", "loop"), "--loop"),),
                when=(When("bag", None),),
                ends_graph=ends,
            ),
        ),
        static_transforms=_camera_frames(),
        exactly_one_of=("video", "bag"),
        at_most_one_true=_LIMBS_ONCE,
    )


def view() -> Graph:
    """Nothing but the viewing: of a graph that runs elsewhere, or of the body with its joints moved by hand.

    The graph elsewhere brings robot_description and all frames; RViz is the only thing that it lacks.
    """
    return Graph(
        name="view",
        arguments=(
            Argument(
                "joint_sliders",
                "false",
                "Move the joints by hand with joint_state_publisher_gui, with no camera running.",
                BOOLEANS,
            ),
            Argument("use_sim_time", "false", "Take time from /clock.", BOOLEANS),
            *_viewing_arguments(beside_pose_node=False),
        ),
        nodes=(
            *_viewing_nodes(beside_pose_node=False),
            NodeProcess(
                "joint_state_publisher_gui",
                "joint_state_publisher_gui",
                package="joint_state_publisher_gui",  # reads robot_description from its topic
                when=(When("joint_sliders"),),
                may_end=True,
            ),
        ),
        static_transforms=(
            *_camera_frames(),
            # Nobody is tracked then: the body stands in front of the camera, pelvis at a usual height.
            StaticTransform(
                _frame(MAP_FRAME),
                _frame(ROOT_LINK),
                (2.5, 0.0, 0.95),
                (0.0, 0.0, math.pi),
                when=(When("joint_sliders"),),
            ),
        ),
    )


def _frame(name: str, or_none: bool = False) -> Given:
    """A frame of this graph; ``or_none`` leaves the name open where there is no prefix."""
    return Given("frame_prefix", lambda prefix: prefixed(name, prefix), otherwise=None if or_none else name)


#: The frame of the images, which only where nobody names it is one of this graph's own.
_OF_IMAGES = Given("camera_frame", otherwise=_frame(OPTICAL_FRAME))
_LIMBS_ONCE = (
    ("publish_link_tf", "robot_state_publisher"),
    "publish_link_tf and robot_state_publisher both publish the frames of the limbs",
)


def camera_info_beside(image_topic: str) -> str:
    """The topic of the calibration that belongs to these images, where image_transport's drivers publish it."""
    base = image_topic.removesuffix("/compressed") or image_topic
    folder, slash, _ = base.rpartition("/")
    return f"{folder}{slash}camera_info"


def _viewing_arguments(beside_pose_node: bool) -> tuple[Argument, ...]:
    return (
        Argument(
            "namespace",
            NAMESPACE,
            "Namespace of all nodes and topics, so that those of a robot in the same domain are left alone; /: none.",
            names="namespace",
        ),
        Argument(
            "frame_prefix",
            "",
            "Stands before the names of all frames, such as alice/ for a second person's graph in the same domain; "
            "empty: none, or as the parameter file says of pose_node.",
            in_file=InFile("pose_node", "frame_prefix"),
        ),
        Argument("network", LOCAL, NETWORK_DESCRIPTION, NETWORKS),
        Argument("log_level", "info", "Least severe messages that the nodes log.", LOG_LEVELS),
        Argument("rviz", "true", "Start RViz with robot model, frames, markers and annotated image.", BOOLEANS),
        Argument("view", "false", "Start viewer_node, which shows the graph in a web browser.", BOOLEANS),
        Argument(
            "view_host",
            "",
            "Address to serve the viewer's page at; with another than 127.0.0.1 everybody who reaches it sees the "
            "camera's pictures; empty: as the parameter file says, else 127.0.0.1.",
        ),
        Argument("view_port", "", "Port of the viewer's page; empty: as the parameter file says, else 8080."),
        Argument(
            "robot_state_publisher",
            "",
            "Publish the frames of the limbs; default: "
            + (
                "true, unless publish_link_tf; false where another computer does."
                if beside_pose_node
                else "true with joint_sliders, else false: the graph that runs elsewhere does."
            ),
            ("", *BOOLEANS),
            default_with=(When("publish_link_tf", "false") if beside_pose_node else When("joint_sliders"), "true"),
        ),
        _static_transforms_argument(beside_pose_node),
        Argument(
            "camera_frame",
            "",
            "Frame of the images, in full: camera_node gives it to them, or another driver does, and the static "
            f"transforms place it; empty: frame_id of camera_node in the parameter file, else {OPTICAL_FRAME} after "
            "the prefix.",
            in_file=InFile("camera_node", "frame_id", unless=OPTICAL_FRAME),
        ),
        Argument(
            "camera_height",
            "",
            f"Height of the camera above the floor [m]; empty: not known, for the frames {CAMERA_HEIGHT_M:g}.",
        ),
        Argument(
            "camera_pitch",
            "",
            "Pitch of the camera [rad], positive looks down, 0 is level; empty: not known, for the frames 0.",
        ),
        Argument(
            "camera_roll",
            "",
            "Roll of the camera about its viewing direction [rad], positive is clockwise as seen from behind it; "
            "empty: not known, for the frames 0.",
        ),
    )


def _static_transforms_argument(beside_pose_node: bool) -> Argument:
    """Whether to publish frames: one graph does that once, and a viewer of it not again with guesses of its own."""
    what = f"Publish {MAP_FRAME} -> {CAMERA_FRAME} -> camera_frame from camera_height, camera_pitch and camera_roll"
    if beside_pose_node:
        return Argument("static_transforms", "true", f"{what}; false where something else places the camera.", BOOLEANS)
    return Argument(
        "static_transforms",
        "",
        f"{what}; default: true with joint_sliders, else false: the graph that runs elsewhere does.",
        ("", *BOOLEANS),
        default_with=(When("joint_sliders"), "true"),
    )


def _common_arguments() -> tuple[Argument, ...]:
    return (
        Argument("device", "", "Where the models run: cpu, cuda or cuda:N; empty: as the parameter file says."),
        Argument("params_file", str(share_path("config", "diffmocap.yaml")), "Parameter file of all nodes."),
        Argument(
            "image_topic",
            "",
            "Topic of the images, where another driver or a bag names it differently; relative to the namespace, if "
            "it does not begin with /.",
            names="topic",
        ),
        Argument(
            "camera_info_topic", "", "Topic of the calibration; empty: camera_info beside the images.", names="topic"
        ),
        Argument(
            "mirror",
            "",
            "The images show people as a mirror does, whoever publishes them; default: as the parameter file says.",
            ("", *BOOLEANS),
        ),
        Argument(
            "respawn",
            "false",
            "Start a node that has died again, configured and active; false: the death of a node ends the graph.",
            BOOLEANS,
        ),
        Argument(
            "publish_link_tf",
            "",
            "Let pose_node publish the frames of all links, in place of robot_state_publisher; default: as the "
            "parameter file says, else false.",
            ("", *BOOLEANS),
            default_with=(When("publish_link_tf", ""), "false"),
            in_file=InFile("pose_node", "publish_link_tf"),
        ),
        Argument("hri", "false", "Start hri_node, which tells of the person as REP-155 (ROS4HRI) does.", BOOLEANS),
        Argument(
            "sonic",
            "false",
            "Start sonic_node, which streams the person to SONIC, a whole-body controller of the G1, over ZMQ.",
            BOOLEANS,
        ),
        *_robot_arguments(),
        *_viewing_arguments(beside_pose_node=True),
    )


#: Where the pictures and their calibration come from.
_IMAGE_TOPICS = (
    ("image_raw", Given("image_topic")),
    ("camera_info", Given("camera_info_topic", otherwise=Given("image_topic", camera_info_beside))),
)


def _robot_arguments() -> tuple[Argument, ...]:
    return (
        Argument(
            "retarget",
            "",
            "Start retarget_node for this robot: the short name of one whose description ships, such as g1, or the "
            "path of a YAML file; empty: none.",
        ),
        Argument(
            "retarget_joint_states", "", "Topic of the robot's joint states; empty: /joint_states.", names="topic"
        ),
        Argument(
            "retarget_joint_command",
            "",
            "Topic of the commands as JointState; empty: robot/joint_command in the namespace.",
            names="topic",
        ),
        Argument(
            "retarget_joint_trajectory",
            "",
            "Topic of the commands as JointTrajectory, such as /joint_trajectory_controller/joint_trajectory; empty: "
            "robot/joint_trajectory in the namespace.",
            names="topic",
        ),
    )


def _pipeline_nodes() -> tuple[NodeProcess, ...]:
    return (
        NodeProcess(
            "pose_node",
            "pose_node",
            lifecycle=True,
            reads_params_file=True,
            # What was measured of the camera tells the physics where the floor is; what was not, must not.
            parameters={
                "device": Given("device"),
                "camera_height": Given("camera_height", float),
                "camera_pitch": Given("camera_pitch", float),
                "camera_roll": Given("camera_roll", float),
                # 0 is an angle too, which the node cannot tell from its default.
                "ground_from": Implied(
                    "parameters", (When("camera_pitch", None), When("camera_roll", None)), over="auto"
                ),
                "frame_prefix": Given("frame_prefix"),
                "publish_link_tf": Given("publish_link_tf", bool),
                # The frame of that name is then this graph's, with its prefix.
                "ground_frame": Implied(_frame(MAP_FRAME, or_none=True), (When("static_transforms"),), over=MAP_FRAME),
                **SIM_TIME,
            },
            remappings=_IMAGE_TOPICS[1:],
        ),
        NodeProcess(
            "keypoint_node",
            "keypoint_node",
            lifecycle=True,
            reads_params_file=True,
            parameters={"mirror": Given("mirror", bool), **SIM_TIME},
            # It reads a calibration of mirrored pictures only, beside the images unless told otherwise.
            remappings=(("image_raw", Given("image_topic")), ("camera_info", Given("camera_info_topic"))),
        ),
        NodeProcess(
            "retarget_node",
            "retarget_node",
            lifecycle=True,
            reads_params_file=True,
            parameters={
                "robot": Given("retarget"),
                "map_frame": _frame(MAP_FRAME, or_none=True),
                "stage_frame": _frame("stage", or_none=True),
                **SIM_TIME,
            },
            remappings=(
                ("/joint_states", Given("retarget_joint_states")),
                ("robot/joint_command", Given("retarget_joint_command")),
                ("robot/joint_trajectory", Given("retarget_joint_trajectory")),
                *_IMAGE_TOPICS[1:],
            ),
            when=(When("retarget", None),),
        ),
        NodeProcess(
            "sonic_node",
            "sonic_node",
            lifecycle=True,
            reads_params_file=True,
            parameters={"map_frame": _frame(MAP_FRAME, or_none=True), **SIM_TIME},
            remappings=_IMAGE_TOPICS[1:],
            when=(When("sonic"),),
        ),
        NodeProcess(
            "hri_node",
            "hri_node",
            reads_params_file=True,
            parameters=SIM_TIME,
            when=(When("hri"),),
            may_end=True,
        ),
    )


def _camera_node(
    parameters: dict[str, Given], when: When, ends_graph: When | bool = False, may_wait: bool = False
) -> NodeProcess:
    return NodeProcess(
        "camera_node",
        "camera_node",
        lifecycle=True,
        reads_params_file=True,
        parameters={**parameters, "frame_id": _OF_IMAGES, **SIM_TIME},
        when=(when,),
        ends_graph=ends_graph,
        may_wait=may_wait,
    )


def _viewing_nodes(beside_pose_node: bool) -> tuple[NodeProcess, ...]:
    # pose_node publishes robot_description; one publisher of a latched topic is enough.
    own = (("robot_description", "robot_state_publisher/robot_description"),)
    return (
        NodeProcess(
            "robot_state_publisher",
            "robot_state_publisher",
            package="robot_state_publisher",
            remappings=own if beside_pose_node else (),
            # Its default would drop every third pose of a 30 Hz camera.
            parameters={
                "robot_description": URDF,
                "publish_frequency": 200.0,
                "frame_prefix": Given("frame_prefix"),
                **SIM_TIME,
            },
            when=(When("robot_state_publisher"),),
        ),
        NodeProcess(
            "rviz2",
            "rviz2",
            package="rviz2",
            parameters=SIM_TIME,
            arguments=("-d", Given("frame_prefix", RvizConfig, otherwise=str(shipped_rviz_config()))),
            when=(When("rviz"),),
            optional=True,
            may_end=True,
        ),
        NodeProcess(
            "viewer_node",
            "viewer_node",
            reads_params_file=beside_pose_node,
            parameters={
                "host": Given("view_host"),
                "port": Given("view_port", int),
                "map_frame": _frame(MAP_FRAME, or_none=True),
                **SIM_TIME,
            },
            remappings=_IMAGE_TOPICS if beside_pose_node else (),
            when=(When("view"),),
            modules=("viser",),
            may_end=True,
        ),
    )


def _camera_frames() -> tuple[StaticTransform, ...]:
    wanted = (When("static_transforms"),)
    return (
        StaticTransform(
            _frame(MAP_FRAME),
            _frame(CAMERA_FRAME),
            (0.0, 0.0, Given("camera_height", float, CAMERA_HEIGHT_M)),
            (Given("camera_roll", float, 0.0), Given("camera_pitch", float, 0.0), 0.0),
            when=wanted,
        ),
        # REP-103: from x forward, y left, z up to x right, y down, z forward.
        StaticTransform(
            _frame(CAMERA_FRAME),
            _OF_IMAGES,
            rpy=(-math.pi / 2, 0.0, -math.pi / 2),
            when=wanted,
        ),
    )
