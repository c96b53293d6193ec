"""The import rules that keep the structure: one way along the pipeline, and ROS at the edge only."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

#: Python files in one folder, `__init__.py` counted.
MOST_FILES = 23

#: The pipeline's order. A part imports from itself and from what stands before it.
ORDER = (
    "errors", "settings", "files", "timing", "compiler", "types", "resources", "device", "body", "motion", "camera",
    "keypoints", "lifting", "optim", "fitting", "physics", "refinement", "output", "pipeline", "evaluation",
    "reconstruct", "robots", "viewer", "middleware", "graph", "nodes", "cli", "__main__",
)  # fmt: skip

#: ROS-free parts that must run anywhere torch runs: what they may import when they are loaded.
LIGHT_PARTS = (
    "errors", "settings", "files", "timing", "compiler", "types", "resources", "device", "body", "motion", "lifting",
    "optim", "fitting", "physics", "refinement", "output", "pipeline", "evaluation",
)  # fmt: skip
LIGHT_PACKAGES = {"diffmocap", "numpy", "roma", "safetensors", "torch"}

#: Run as programs, by hand with `python -m` or inside Blender, and imported by nothing.
PROGRAMS = {
    Path("diffmocap/body/convert_smpl.py"), Path("diffmocap/motion/export/blender_fbx.py"),
    Path("training/lifting/ship.py"), Path("training/optim/ship.py"), Path("training/stream/ship.py"),
    Path("training/motions/pose_prior.py"),
}  # fmt: skip

#: Light by its room, but only what reads YAML imports it.
YAML_READER = Path("diffmocap/files/yaml_file.py")

#: The only files of the command line that talk to the graph.
ROS_IN_CLI = {"monitor.py", "supervisor.py"}

ROS_PACKAGES = {
    "ament_index_python", "builtin_interfaces", "launch", "launch_ros", "lifecycle_msgs", "rcl_interfaces", "rclpy",
    "rosgraph_msgs", "rosidl_runtime_py", "std_srvs", "tf2_ros",
}  # fmt: skip


def is_ros(package: str) -> bool:
    return package in ROS_PACKAGES or package.endswith(("_msgs", "_interfaces"))


@cache
def sources(folder: str) -> list[Path]:
    return sorted(path.relative_to(ROOT) for path in (ROOT / folder).rglob("*.py"))


@cache
def imports(path: Path, when_loaded: bool = False) -> tuple[tuple[str, int], ...]:
    """Full names of the modules that a file imports, with the line.

    ``when_loaded`` leaves out what only a call of a function or a type checker imports.
    """

    def visit(node: ast.AST) -> Iterator[tuple[str, int]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from ((alias.name, child.lineno) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                # benchmarks/field also runs as a package of its own, under other checkouts.
                relative = child.level and not str(path).startswith("benchmarks/field/")
                assert not relative, f"{path}:{child.lineno}: relative import; name the module in full"
                # `from diffmocap import body` names a module too.
                yield from ((f"{child.module}.{alias.name}", child.lineno) for alias in child.names)
            elif when_loaded and isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            else:
                yield from visit(child)

    return tuple(visit(ast.parse((ROOT / path).read_text(), filename=str(path))))


def part(module: str) -> str:
    """'diffmocap.body.model' and 'diffmocap/body/model.py' belong to 'body'."""
    names = module.replace("/", ".").removesuffix(".py").split(".")
    return names[1] if len(names) > 1 else ""


def test_every_part_has_its_place_in_the_order() -> None:
    parts = {part(str(path)) for path in sources("diffmocap")} - {"__init__"}
    assert parts <= set(ORDER), f"say in ORDER where these stand in the pipeline: {sorted(parts - set(ORDER))}"


def test_the_package_itself_is_light() -> None:
    init = Path("diffmocap/__init__.py")
    assert init in sources("diffmocap")
    assert not imports(init), "diffmocap/__init__.py is imported by everything: keep it light"


def test_imports_run_one_way_along_the_pipeline() -> None:
    backwards = [
        f"{path}:{line}: {part(str(path))} imports {module}, which comes after it"
        for path in sources("diffmocap") if part(str(path)) != "__init__"
        for module, line in imports(path)
        if module.split(".")[0] == "diffmocap" and module != "diffmocap.__version__"
        and ORDER.index(part(module)) > ORDER.index(part(str(path)))
    ]  # fmt: skip
    assert not backwards


def test_ros_stays_at_the_edge() -> None:
    inner = [
        path for path in sources("diffmocap")
        if part(str(path)) != "nodes" and not (part(str(path)) == "cli" and path.name in ROS_IN_CLI)
    ]  # fmt: skip
    found = [f"{path}:{line}: {module}" for path in inner for module, line in imports(path)
             if is_ros(module.split(".")[0])]  # fmt: skip
    assert not found, "ROS belongs into nodes/ and the command line's supervisor and monitor"


@pytest.mark.parametrize("folder", ["training", "benchmarks", "examples"])
def test_recipes_and_benchmarks_import_the_package_and_never_the_reverse(folder: str) -> None:
    found = [f"{path}:{line}" for path in sources("diffmocap") for module, line in imports(path)
             if module.split(".")[0] == folder]  # fmt: skip
    assert not found


def test_training_needs_no_ros_and_no_camera() -> None:
    """It must run on any GPU machine with torch, numpy and roma."""
    allowed, found = LIGHT_PACKAGES | {"training", "tqdm"} | sys.stdlib_module_names, []
    for path in sources("training"):
        for module, line in imports(path, when_loaded=True) if path not in PROGRAMS else ():
            package = module.split(".")[0]
            if package not in allowed or (package == "diffmocap" and part(module) not in (*LIGHT_PARTS, "camera")):
                found.append(f"{path}:{line}: {module}")
    assert not found, "import these in the functions that need them"


def test_the_light_parts_load_with_torch_numpy_and_roma_alone() -> None:
    allowed, found = LIGHT_PACKAGES | sys.stdlib_module_names, []
    for path in sources("diffmocap"):
        if part(str(path)) not in LIGHT_PARTS or path in PROGRAMS:
            continue
        for module, line in imports(path, when_loaded=True):
            if module.split(".")[0] not in allowed and (path, module) != (YAML_READER, "yaml"):
                found.append(f"{path}:{line}: {module}")
    assert not found, "import these in the functions that need them"


@pytest.mark.parametrize("program", sorted(PROGRAMS), ids=str)
def test_programs_are_imported_by_nothing(program: Path) -> None:
    name = str(program.with_suffix("")).replace("/", ".")
    everything = [path for folder in ("diffmocap", "training", "benchmarks") for path in sources(folder)]
    assert not [f"{path}:{line}" for path in everything for module, line in imports(path) if module.startswith(name)]


def test_opencv_and_mediapipe_stay_with_camera_and_keypoints() -> None:
    found = [
        f"{path}:{line}" for path in sources("diffmocap")
        if part(str(path)) not in ("camera", "keypoints", "nodes", "cli")
        for module, line in imports(path) if module.split(".")[0] in ("cv2", "mediapipe")
    ]  # fmt: skip
    assert not found


def file_of(module: str, files: dict[str, Path]) -> Path | None:
    """The file that an imported name lives in: `diffmocap.body.model.BodyModel` in that of `diffmocap.body.model`."""
    while module and module not in files:
        module = module.rpartition(".")[0]
    return files.get(module)


def circles(edges: dict[Path, set[Path]]) -> list[list[Path]]:
    """Groups of files each of which imports, through others, itself: Tarjan's strongly connected components."""
    order: dict[Path, int] = {}
    low: dict[Path, int] = {}
    stack: list[Path] = []
    found: list[list[Path]] = []

    def visit(file: Path) -> None:
        order[file] = low[file] = len(order)
        stack.append(file)
        for other in sorted(edges[file]):
            if other not in order:
                visit(other)
            if other in stack:
                low[file] = min(low[file], low[other])
        if low[file] == order[file]:
            group = stack[stack.index(file) :]
            del stack[stack.index(file) :]
            if len(group) > 1 or file in edges[file]:
                found.append(sorted(group))

    for file in sorted(edges):
        if file not in order:
            visit(file)
    return found


def test_no_file_imports_itself_through_others() -> None:
    """Imports inside functions count: they hide a circle, they do not open it. Move down what both sides need."""
    paths = [path for folder in ("diffmocap", "training", "benchmarks") for path in sources(folder)]
    files = {str(path.with_suffix("")).replace("/", ".").removesuffix(".__init__"): path for path in paths}
    edges = {
        path: {file for module, _ in imports(path) if (file := file_of(module, files)) is not None} for path in paths
    }
    assert sum(map(len, edges.values())) > len(paths), "the package's own imports are seen"
    assert not circles(edges)


def test_circles_are_found() -> None:
    a, b, c, d, e = (Path(f"{name}.py") for name in "abcde")
    edges = {a: {b}, b: {c, d}, c: {a}, d: set(), e: {d, a}}
    assert circles(edges) == [[a, b, c]]
    assert circles({a: {b}, b: {a}, c: {a, d}, d: {c}, e: set()}) == [[a, b], [c, d]]
    assert circles({a: {b}, b: {c}, c: {d}, d: {e}, e: set()}) == []
    assert circles({a: {a}}) == [[a]]
    files = {"p": Path("p/__init__.py"), "p.m": Path("p/m.py")}
    assert [file_of(name, files) for name in ("p.m.C", "p.x", "numpy.p", "p")] == [
        Path("p/m.py"), Path("p/__init__.py"), None, Path("p/__init__.py"),
    ]  # fmt: skip


def test_the_rule_sees_what_it_should(tmp_path: Path) -> None:
    source = tmp_path / "sample.py"
    source.write_text(
        "from typing import TYPE_CHECKING\nimport a.b\nfrom diffmocap import body\n"
        "if TYPE_CHECKING:\n    import hidden\n"
        "try:\n    import guarded\nexcept ImportError:\n    pass\n"
        "def f():\n    import late\n"
        "class C:\n    import inside\n"
    )
    names = [name for name, _ in imports(source)]
    assert names == ["typing.TYPE_CHECKING", "a.b", "diffmocap.body", "guarded", "late", "inside"]
    assert "late" not in [name for name, _ in imports(source, when_loaded=True)]


def test_no_folder_holds_more_files_than_a_reader_can_overlook() -> None:
    folders = Counter(str(path.parent) for top in ("diffmocap", "training", "benchmarks") for path in sources(top))
    assert not {folder: count for folder, count in folders.items() if count > MOST_FILES}
