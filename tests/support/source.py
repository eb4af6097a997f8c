"""The package's own source, parsed once for all tests that read it."""

import ast
from functools import cache
from pathlib import Path

import livemoments

SOURCE = Path(livemoments.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))


def relative(path: Path) -> str:
    """Return a file's path within the package."""
    return path.relative_to(SOURCE).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    """Parse a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def nodes(path: Path) -> list[ast.AST]:
    """Return all nodes of a file's tree."""
    return list(ast.walk(tree(path)))
