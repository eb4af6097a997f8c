"""The house of the design: what may import what, how fast it opens, how its rooms look."""

import ast
import importlib
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

# From top to bottom; a room imports rooms below it and its own. Rooms of one line stand side by
# side, and do not know each other.
LAYERS = [
    ["__main__"],
    ["cli", "app"],
    ["against", "costs"],
    ["demo", "bench", "bench_sd3", "printing", "progress"],
    ["batch"],
    ["job", "clip_faces"],
    ["output"],
    ["evaluation"],
    ["pipeline"],
    ["restore"],
    ["moments", "moment_faces"],
    ["sheet"],
    ["faces"],
    ["training"],
    ["models"],
    ["networks"],
    ["bridge"],
    ["tiles", "key_look", "gain"],
    ["align"],
    ["look"],
    ["fetch"],
    ["livephoto"],
    ["extras"],
    ["version", "errors", "stages"],
]
DEPTH = {room: depth for depth, rooms in enumerate(LAYERS) for room in rooms}
MAX_LINES = 420
# Files outside networks/ and training/ that may import PyTorch: nothing the core runs imports them.
WITH_TORCH = (
    "sd3.py", "sd3_memory.py", "bench_sd3.py", "weights.py", "stored.py", "prompt.py", "raft.py",
    "perceptual.py", "baselines.py", "flops.py", "patch_fid.py", "embedding.py", "learned.py",
    "span.py", "ncnn_files.py",
)  # fmt: skip
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


def room(path: Path) -> str:
    return path.relative_to(SOURCE).with_suffix("").parts[0]


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_imports_point_downward(path):
    if path.name == "__init__.py" and path.parent == SOURCE:
        return  # the public face, which loads the rooms by name when asked
    here = room(path)
    assert here in DEPTH, f"{here} is new: give it a place in LAYERS"
    for name in imported(path):
        parts = name.split(".")
        if parts[0] != "livemoments" or len(parts) == 1 or parts[1] == here:
            continue
        assert DEPTH[here] < DEPTH[parts[1]], f"{path.name} must not import {name}"


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_torch_stays_in_its_rooms(path):
    with_torch = room(path) in ("networks", "training")
    with_torch |= path.name in WITH_TORCH
    if with_torch and path.name not in ("photographs.py", "sharpness.py"):
        return
    tops = {name.split(".")[0] for name in imported(path)}
    assert not tops & {"torch", "torchvision", "accelerate", "safetensors", "onnx"}


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
        "import livemoments, livemoments.job, livemoments.cli\n"
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


def test_restore_is_the_function_whatever_was_imported_first():
    """The file of that name would take its place: Python binds a submodule to its package."""
    importlib.import_module("livemoments.restore")
    assert inspect.isfunction(livemoments.restore)
    from livemoments.restore import RestoreConfig

    assert RestoreConfig is livemoments.RestoreConfig


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
    assert all(inspect.getdoc(kind) for kind in kinds)
