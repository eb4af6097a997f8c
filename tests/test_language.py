"""How the code speaks: docstrings that begin with a verb, plain words, short functions."""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest
from support import ROOT

import livemoments

SOURCE = Path(livemoments.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
NAMES = [str(path.relative_to(SOURCE)) for path in FILES]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

# What a docstring of a function begins with where its author left out the verb.
NO_VERBS = set(
    """a about after all also an and any as at because before both but by each else every few for
    from given half here how however i if in into it its just less like many more most much my no
    nobody none not nothing of on once one only or others our out over per same several she some
    such that the their them then there these they this those through three to two under unless
    until up upon we what whatever when whenever where wherever whether which whichever while who
    whoever whom whose why with within without you""".split()
)
PROPERTIES = {"property", "cached_property"}
# Participles and adverbs that leave the reader to guess who did what to which.
BANNED = re.compile(r"\b(told|said|spoilt|alike|beside)\b", re.IGNORECASE)
BANNED_IN_NAMES = re.compile(r"(?:^|_)(told|said|spoilt|alike|beside|kept)(?:$|_)", re.IGNORECASE)
MAX_BODY, LONG_BODY, MAX_LONG = 60, 40, 10  # lines without signature and docstring


def functions(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def body_lines(node) -> int:
    body = node.body[1:] if ast.get_docstring(node) else node.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def is_property(node) -> bool:
    names = {ast.unparse(each).split(".")[-1] for each in node.decorator_list}
    return bool(names & PROPERTIES)


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_docstrings_of_functions_begin_with_a_verb(path):
    """ruff's D401 finds "Returns"; this finds a missing verb."""
    found = []
    for node in functions(path):
        text = ast.get_docstring(node)
        if not text or is_property(node):
            continue
        word = re.split(r"[^\w'-]", text, maxsplit=1)[0]
        if not word.isalpha() or word.lower() in NO_VERBS:
            found.append(f"line {node.lineno}, {node.name}: {text.splitlines()[0]}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_words_are_plain(path):
    text, found = path.read_text(), []
    for node in ast.walk(ast.parse(text)):
        for field in ("name", "id", "attr", "arg", "module"):
            name = getattr(node, field, None)
            if isinstance(name, str) and BANNED_IN_NAMES.search(name.replace(".", "_")):
                found.append(f"line {node.lineno}: the name {name}")
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                for word in BANNED.finditer(value.value):
                    found.append(f"line {value.lineno}: docstring with {word[0]!r}")
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and (word := BANNED.search(token.string)):
            found.append(f"line {token.start[0]}: comment with {word[0]!r}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", PAGES, ids=[path.name for path in PAGES])
def test_words_of_the_pages_are_plain(path):
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
    found = [f"line {number}: {line}" for number, line in lines if BANNED.search(line)]
    assert not found, "\n".join(found)


def test_functions_are_short():
    sizes = {
        f"{path.relative_to(SOURCE)}:{node.lineno} {node.name}": body_lines(node)
        for path in FILES
        for node in functions(path)
    }
    too_long = {name: lines for name, lines in sizes.items() if lines > MAX_BODY}
    assert not too_long
    long = {name: lines for name, lines in sizes.items() if lines > LONG_BODY}
    assert len(long) <= MAX_LONG, "\n".join(f"{name}: {n}" for name, n in sorted(long.items()))
