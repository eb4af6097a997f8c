"""Write HTML that is safe by construction: whatever is not markup already is escaped."""

import html
import re
from collections.abc import Iterable

VOID = ("br", "col", "img", "meta")  # elements that have no end
_FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")  # in HTML


class Markup(str):
    """Text that is HTML already."""


def tag(name: str, /, *children: object, **attributes: object) -> Markup:
    """Make an element. Children and values of attributes are escaped unless they are Markup.

    Names of attributes lose a last underscore, and the others become hyphens: class_, aria_label.
    True stands for an attribute without a value; None and False leave it out.
    """
    inside = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in VOID:
        return Markup(f"<{name}{inside}>")
    return Markup(f"<{name}{inside}>{join(children)}</{name}>")


def join(parts: Iterable[object], between: str = "") -> Markup:
    """Join parts; None leaves nothing."""
    return Markup(between.join(escaped(part) for part in parts if part is not None))


def escaped(value: object) -> Markup:
    """Escape a value as text of a page."""
    if isinstance(value, Markup):
        return value
    return Markup(html.escape(clean(str(value)), quote=True))


def clean(text: str) -> str:
    """Replace what no document may hold: control characters, halves of characters."""
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)


def _attribute(key: str, value: object) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escaped(value)}"'
