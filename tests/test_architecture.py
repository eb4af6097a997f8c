"""The house of the design: what may import what, how fast it opens, how its rooms look."""

import ast
import inspect
import re
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import pytest
from support import ROOT
from support.source import FILES, SOURCE, nodes, relative, tree

import livemoments
from livemoments import errors

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
MAX_FILES = 20  # of code in a folder
HEAVY = ["av", "cv2", "onnxruntime", "pillow_heif", "torch"]


@cache
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
            if not isinstance(child, ast.expr):
                visit(child)

    visit(tree(path))
    return found


def module(path: Path) -> str:
    """The dotted name of a file within the package; of a folder's __init__.py, the folder's."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module(path): path for path in FILES}


@cache
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


def test_torch_stays_in_its_rooms():
    for path in FILES:
        if not any(f"{module(path)}.".startswith(f"{place}.") for place in TORCH_ROOMS):
            tops = {each.split(".")[0] for each in imported(path)}
            assert not tops & WITH_TORCH, relative(path)


def test_folders_can_be_read_at_a_glance():
    for folder in {path.parent for path in [*FILES, *(ROOT / "tests").rglob("*.py")]}:
        files = [path for path in folder.iterdir() if path.suffix in (".py", ".css", ".js")]
        assert len(files) <= MAX_FILES, folder


def test_a_file_is_one_idea():
    for path in FILES:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES, relative(path)
        assert ast.get_docstring(tree(path)), f"{relative(path)}: say what the file is for"
        assert path.name not in ("utils.py", "helpers.py", "common.py"), relative(path)


def test_no_print_and_no_assert():
    for path, node in ((each, node) for each in FILES for node in nodes(each)):
        if isinstance(node, ast.Assert):
            pytest.fail(f"{relative(path)}:{node.lineno}: raise one of errors.py")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id == "print":
                pytest.fail(f"{relative(path)}:{node.lineno}: only the command line prints")


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


# --- what the pages say of the house -------------------------------------------------------------

PAGES = {name: (ROOT / name).read_text(encoding="utf-8") for name in (
    "README.md", "CONTRIBUTING.md", "docs/method.md", "docs/sd3.md", "docs/hdr.md",
    "docs/sharing.md", "docs/formats.md",
)}  # fmt: skip


def drawn_tree(page: str) -> set[str]:
    """The paths that a page's tree of src/livemoments names; folders end with a slash."""
    block = re.search(r"^```\nsrc/livemoments/\n(.*?)^```", PAGES[page], re.MULTILINE | re.DOTALL)
    paths: set[str] = set()
    folders: list[str] = []
    for line in block[1].splitlines():
        name = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // 2 - 1
        if not re.fullmatch(r"\w+(/|\.py)", name) or depth > len(folders):
            continue  # the second line of a long comment
        paths.add("".join(folders[:depth]) + name)
        if name.endswith("/"):
            folders[depth:] = [name]
    return paths


def test_the_tree_of_contributing_is_the_real_one():
    folders = {f"{path.parent.relative_to(SOURCE).as_posix()}/" for path in FILES} - {"./"}
    loose = {f"{name}.py" for name in ("bridge", "files", "extras", "progress", "errors")}
    assert drawn_tree("CONTRIBUTING.md") == folders | loose
    assert all((SOURCE / name).is_file() for name in loose)


def test_the_tree_of_the_readme_names_every_room_and_nothing_else():
    drawn = drawn_tree("README.md")
    assert [name for name in drawn if not (SOURCE / name).exists()] == []
    assert {path.parent.name + "/" for path in SOURCE.glob("*/__init__.py")} <= drawn


def test_the_readme_is_short():
    assert len(PAGES["README.md"].splitlines()) <= 150


def test_the_import_order_of_contributing_is_the_one_that_is_tested():
    block = re.search(
        r"^```\n(livemoments\n  __main__.*?)^```", PAGES["CONTRIBUTING.md"], re.M | re.S
    )
    printed = {}
    for place in block[1].strip().split("\n\n"):
        name, *floors = place.splitlines()
        inside = name.removeprefix("livemoments").removeprefix(".")
        printed[inside] = [floor.strip().split(", ") for floor in floors]
    assert printed == FLOORS


def names_of(path: Path) -> set[str]:
    """What a file defines at its top, and within its classes as Class.name."""
    names: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
            names |= {f"{node.name}.{each.name}" for each in getattr(node, "body", [])
                      if isinstance(each, ast.FunctionDef)}  # fmt: skip
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def home_of(dotted: str) -> str:
    """The longest beginning of a dotted name that is a module."""
    parts = dotted.split(".")
    homes = [".".join(parts[:count]) for count in range(1, len(parts) + 1)]
    return max((home for home in homes if home in MODULES), key=len, default="")


def is_there(dotted: str) -> bool:
    """Whether a dotted name within the package is a module, or a name that a module defines."""
    home = home_of(dotted)
    rest = dotted.removeprefix(home).removeprefix(".")
    return bool(home) and (not rest or rest in names_of(MODULES[home]))


@pytest.mark.parametrize("page", PAGES)
def test_every_module_and_function_of_a_page_exists(page):
    rooms = {room for rooms in FLOORS[""] for room in rooms}
    found = []
    for code in re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", PAGES[page], flags=re.S)):
        dotted = code.removeprefix("livemoments.")
        if re.fullmatch(r"[a-z_]\w*(\.\w+)+", dotted) and dotted.split(".")[0] in rooms:
            is_file = dotted.endswith(".py") and (SOURCE / dotted).is_file()
            found += [] if is_file or is_there(dotted) else [code]
        elif re.fullmatch(r"[\w./-]+/[\w./-]*\.(py|md|toml|txt)", code):
            found += [] if any((top / code).exists() for top in (ROOT, SOURCE)) else [code]
    assert not found


def test_every_row_of_the_papers_table_leads_to_code():
    """Of docs/method.md: equation or section, what it is, and dotted names; short ones go on."""
    rows = re.findall(r"^\|(.+)\|(.+)\|(.+)\|$", PAGES["docs/method.md"], re.MULTILINE)[2:]
    assert len(rows) >= 15
    lost, home = [], ""
    for _, _, here in rows:
        codes = re.findall(r"`([^`]+)`", here)
        assert codes, here
        for code in codes:
            home = home_of(code) if "." in code else home
            lost += [] if is_there(code if "." in code else f"{home}.{code}") else [code]
    assert not lost


def test_the_answers_of_contributing_lead_to_code():
    """Every answer names files, and after a file the names that it defines."""
    rows = re.findall(
        r"^\| (Where|What) (.+\?) \| (.+) \|$", PAGES["CONTRIBUTING.md"], re.MULTILINE
    )
    assert len(rows) >= 5
    for _, question, answer in rows:
        names: set[str] = set()
        codes = re.findall(r"`([^`]+)`", answer)
        assert any(code.endswith(".py") for code in codes), question
        for code in codes:
            if code.endswith(".py"):
                place = next(top / code for top in (SOURCE, ROOT) if (top / code).is_file())
                names = names_of(place)
            elif code.isidentifier():
                assert code in names, f"{question}: {code}"
