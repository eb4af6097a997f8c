"""How the code speaks: docstrings that begin with a verb, plain words, short functions."""

import ast
import io
import re
import tokenize

import pytest
from support import ROOT
from support.source import FILES, nodes, relative

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
    for node in nodes(path):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def body_lines(node) -> int:
    body = node.body[1:] if ast.get_docstring(node) else node.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def is_property(node) -> bool:
    names = {ast.unparse(each).split(".")[-1] for each in node.decorator_list}
    return bool(names & PROPERTIES)


def test_docstrings_of_functions_begin_with_a_verb():
    """ruff's D401 finds "Returns"; this finds a missing verb."""
    found = []
    for path, node in ((each, node) for each in FILES for node in functions(each)):
        text = ast.get_docstring(node)
        if not text or is_property(node):
            continue
        word = re.split(r"[^\w'-]", text, maxsplit=1)[0]
        if not word.isalpha() or word.lower() in NO_VERBS:
            found.append(f"{relative(path)}:{node.lineno}, {node.name}: {text.splitlines()[0]}")
    assert not found, "\n".join(found)


def words_of_names(path):
    for node in nodes(path):
        for field in ("name", "id", "attr", "arg", "module"):
            word = getattr(node, field, None)
            if isinstance(word, str) and BANNED_IN_NAMES.search(word.replace(".", "_")):
                yield node.lineno, f"the name {word}"


def words_of_docstrings(path):
    for node in nodes(path):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                for word in BANNED.finditer(value.value):
                    yield value.lineno, f"docstring with {word[0]!r}"


def words_of_comments(path):
    text = path.read_text(encoding="utf-8")
    if not BANNED.search(text):  # splitting into tokens takes most of the time
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and (word := BANNED.search(token.string)):
            yield token.start[0], f"comment with {word[0]!r}"


@pytest.mark.parametrize("words", [words_of_names, words_of_docstrings, words_of_comments])
def test_words_are_plain(words):
    found = [f"{relative(path)}:{line}: {what}" for path in FILES for line, what in words(path)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", PAGES, ids=[path.name for path in PAGES])
def test_words_of_the_pages_are_plain(path):
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
    found = [f"line {number}: {line}" for number, line in lines if BANNED.search(line)]
    assert not found, "\n".join(found)


def test_functions_are_short():
    sizes = {
        f"{relative(path)}:{node.lineno} {node.name}": body_lines(node)
        for path in FILES
        for node in functions(path)
    }
    too_long = {name: lines for name, lines in sizes.items() if lines > MAX_BODY}
    assert not too_long
    long = {name: lines for name, lines in sizes.items() if lines > LONG_BODY}
    assert len(long) <= MAX_LONG, "\n".join(f"{name}: {n}" for name, n in sorted(long.items()))
