"""The house of the design: what may import what, how fast it opens, how its rooms look."""

import ast
import inspect
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

import livemoments
from livemoments import errors

SOURCE = Path(livemoments.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
NAMES = [str(path.relative_to(SOURCE)) for path in FILES]

# From top to bottom: a room imports rooms below it and its own. Rooms of one line stand next to
# each other and do not import each other. CONTRIBUTING.md prints this order.
FLOORS = {
    "": [
        ["__main__"],
        ["cli"],
        ["lab"],
        ["jobs"],
        ["restoration"],
        ["moments"],
        ["faces"],
        ["models"],
        ["livephoto", "align", "networks"],
        ["imaging", "files", "extras", "bridge"],
        ["errors", "version", "progress"],
    ],
    "livephoto": [
        ["checking"],
        ["writing"],
        ["reading"],
        ["still"],
        ["hdr", "movie"],
        ["container"],
        ["metadata"],
    ],
    "lab": [
        ["speed"],
        ["experiments"],
        ["report"],
        ["benchmark", "face_benchmark"],
        ["metrics", "reality"],
        ["training"],
        ["fetch"],
    ],
    "lab.training": [
        ["loop"],
        ["tasks", "export"],
        ["faces"],
        ["compact", "sd3"],
        ["run"],
        ["data"],
    ],
}
TORCH_ROOMS = ("lab", "networks", "models.sd3")
WITH_TORCH = {
    "torch",
    "torchvision",
    "accelerate",
    "diffusers",
    "transformers",
    "safetensors",
    "onnx",
}
MAX_LINES = 420
MAX_FILES = 20  # of Python in a folder
HEAVY = ["av", "cv2", "onnxruntime", "pillow_heif", "torch"]


def imported(path: Path) -> set[str]:
    """Dotted names of the modules a file imports, within functions too, but not for types only."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the layers"
            found.add(node.module)
            if node.module == "livemoments":
                found.update(f"livemoments.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text()))
    return found


def module(path: Path) -> str:
    """The dotted name of a file within the package; of a folder's __init__.py, the folder's."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module(path): path for path in FILES}


def arrows(path: Path) -> set[str]:
    """The modules of the package that a file imports."""
    names = {name.removeprefix("livemoments.") for name in imported(path)}
    return {name for name in names if name in MODULES and name != module(path)}


def floor(within: str, name: str) -> int | None:
    """On which floor of a place a module stands; None: it is not inside."""
    inside = name.removeprefix(f"{within}.") if within else name
    if within and inside == name:
        return None
    room = inside.split(".")[0]
    floors = FLOORS[within]
    found = [depth for depth, rooms in enumerate(floors) if room in rooms]
    assert found, f"{within or 'livemoments'}: {room} is new; give it a place in FLOORS"
    return found[0]


def room(within: str, name: str) -> str:
    return (name.removeprefix(f"{within}.") if within else name).split(".")[0]


@pytest.mark.parametrize("within", FLOORS)
def test_imports_point_downward(within):
    upward = []
    for name, path in MODULES.items():
        if name == within or name == "":  # the public face, which loads what it is asked for
            continue
        here = floor(within, name)
        for other in arrows(path):
            there = floor(within, other) if other != within else None
            if here is None or there is None or room(within, name) == room(within, other):
                continue
            if there <= here:
                upward.append(f"{name} imports {other}")
    assert not upward, "\n".join(upward)


@pytest.mark.parametrize("within", FLOORS)
def test_every_room_of_a_place_has_its_floor(within):
    folder = SOURCE / within.replace(".", "/")
    here = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    here |= {path.parent.name for path in folder.glob("*/__init__.py")}
    assert sorted(here) == sorted(room for rooms in FLOORS[within] for room in rooms)


def test_no_imports_in_a_circle():
    graph = {name: arrows(path) for name, path in MODULES.items()}
    # A folder's face imports its rooms, which is not a way back for who imports a room of it.
    faces = {name for name, path in MODULES.items() if path.name == "__init__.py"}
    graph = {name: others - faces for name, others in graph.items() if name not in faces}
    while True:
        leaves = {name for name, others in graph.items() if not others & graph.keys()}
        if not leaves:
            break
        graph = {name: others for name, others in graph.items() if name not in leaves}
    assert not graph, "circles among: " + ", ".join(sorted(graph))


def test_the_product_does_not_import_the_laboratory():
    for name, path in MODULES.items():
        if not name.startswith(("lab", "cli.lab")):
            others = [other for other in arrows(path) if other.startswith("lab")]
            assert not others, f"{name} imports {others}"


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_torch_stays_in_its_rooms(path):
    if any(f"{module(path)}.".startswith(f"{place}.") for place in TORCH_ROOMS):
        return
    tops = {name.split(".")[0] for name in imported(path)}
    assert not tops & WITH_TORCH


def test_folders_can_be_read_at_a_glance():
    for folder in {path.parent for path in FILES}:
        files = [path for path in folder.iterdir() if path.suffix in (".py", ".css", ".js")]
        assert len(files) - 1 <= MAX_FILES, folder


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_a_file_is_one_idea(path):
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_LINES
    assert ast.get_docstring(ast.parse(text)), "say in a docstring what the file is for"
    assert path.name not in ("utils.py", "helpers.py", "common.py")


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_no_print_and_no_assert(path):
    for node in ast.walk(ast.parse(path.read_text())):
        assert not isinstance(node, ast.Assert), f"line {node.lineno}: raise one of errors.py"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print", f"line {node.lineno}: only the command line prints"


def test_importing_is_fast_and_light():
    probe = f"import livemoments, sys; print([m for m in {HEAVY} if m in sys.modules])"
    seconds = []
    for _ in range(3):
        began_s = time.perf_counter()
        run = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
        seconds.append(time.perf_counter() - began_s)
        assert run.stdout.strip() == "[]", run.stdout + run.stderr
    assert min(seconds) < 0.5, seconds


def test_the_command_line_starts_without_the_heavy_packages():
    probe = f"import livemoments.cli, sys; print([m for m in {HEAVY} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert run.stdout.strip() == "[]", run.stdout + run.stderr


def test_restoring_needs_no_torch():
    probe = (
        "import sys; sys.modules['torch'] = None\n"
        "import livemoments, livemoments.jobs.restore, livemoments.cli\n"
        "livemoments.restore, livemoments.restore_frame, livemoments.open"
    )
    run = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_all_is_sorted_and_every_name_is_there():
    assert livemoments.__all__ == sorted(livemoments.__all__)
    assert len(set(livemoments.__all__)) == len(livemoments.__all__)
    for name in livemoments.__all__:
        assert getattr(livemoments, name) is not None
    assert dir(livemoments) == livemoments.__all__


def test_all_is_complete():
    """What __getattr__ and the type checker know is what __all__ says."""
    promised = {name for names in livemoments._HOMES.values() for name in names}
    tree = ast.parse((SOURCE / "__init__.py").read_text())
    typed = {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.If)
        for line in node.body
        for alias in line.names
    }
    assert typed == promised | {"open"}
    assert typed | {"LiveMomentsError", "__version__"} == set(livemoments.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'restor'"):
        _ = livemoments.restor


def test_the_tree_of_errors_is_the_one_drawn():
    drawn: dict[str, str | None] = {}
    parents: list[str] = []
    for line in errors.__doc__.splitlines():
        found = re.match(r"^([│├└─ ]*)(\w+Error)\b", line)
        if found:
            depth = len(found[1]) // 4
            parents[depth:] = [found[2]]
            drawn[found[2]] = parents[depth - 1] if depth else "Exception"
    defined = {
        name: kind.__bases__[0].__name__
        for name, kind in vars(errors).items()
        if inspect.isclass(kind) and kind.__module__ == errors.__name__
    }
    assert drawn == defined


def test_every_error_says_what_it_is():
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    assert all(inspect.getdoc(kind) for kind in kinds if kind.__module__ == errors.__name__)
