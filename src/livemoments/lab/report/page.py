"""Make the report as one page of HTML that needs no network and no other file."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files

from livemoments.lab.report import words
from livemoments.lab.report.album import Encoded
from livemoments.lab.report.crops import CROP_PX, ShownImage
from livemoments.lab.report.findings import DASH, FEW_IMAGES, Findings, named
from livemoments.lab.report.gallery import gallery
from livemoments.lab.report.markup import Markup, join, tag
from livemoments.lab.report.plots import HOW_TO_SEE, metric_figure
from livemoments.lab.report.tables import image_table, main_tables, paired_tables, published_table
from livemoments.lab.report.words import Sentence, counted, summary

# With it the browser fetches nothing, whatever names a run holds.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
OPEN_ROWS = 60  # of the table of images: with more, it is closed at first


@dataclass(frozen=True)
class _Section:
    """A part of the page."""

    name: str  # its address in the page
    title: str
    content: Markup


def page(findings: Findings, shown: Sequence[ShownImage], encoded: Encoded) -> str:
    """Make the whole document."""
    found = [
        _results(findings),
        _plots(findings),
        _paired(findings),
        _pictures(findings, shown, encoded),
        _images(findings),
        _published(findings),
        _made(findings),
    ]
    sections = [section for section in found if section]
    links = [tag("li", tag("a", s.title, href=f"#{s.name}")) for s in sections]
    parts = [tag("section", tag("h2", s.title), s.content, id=s.name) for s in sections]
    body = tag(
        "body",
        _header(findings),
        tag("nav", tag("ol", *links), aria_label="Contents"),
        tag("main", *parts),
        tag("script", _packaged("report.js")),
    )
    return f"<!doctype html>\n{tag('html', _head(findings.run.title), body, lang='en')}\n"


def _head(title: str) -> Markup:
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("title", title),
        tag("style", _packaged("report.css")),
    )


def _header(findings: Findings) -> Markup:
    run = findings.run
    facts = {
        "set": run.set_name, "images": len(run.images), "methods": len(findings.methods),
        "metrics": len(findings.metrics),
    }  # fmt: skip
    pairs = (tag("div", tag("dt", name), tag("dd", value)) for name, value in facts.items())
    return tag(
        "header",
        tag("p", "livemoments benchmark", class_="above"),
        tag("h1", run.title),
        tag("dl", *pairs, class_="facts"),
        tag("p", *map(_sentence, summary(findings)), class_="summary"),
    )


def _sentence(sentence: Sentence) -> Markup:
    subject = [tag("b", sentence.subject), " "] if sentence.subject else []
    return join([*subject, sentence.text, " "])


def _note(text: str) -> Markup:
    return tag("p", text, class_="note")


def _results(findings: Findings) -> _Section:
    run = findings.run
    missing = [(m.name, m.missing) for m in run.metrics if m.missing]
    content = [
        _note(words.HOW_TO_READ),
        main_tables(findings),
        _list("Metrics that are not available", missing),
        _list("Methods that failed", [(named(m), m.failed) for m in run.methods if m.failed]),
        _list("The methods", [(named(m), m.detail) for m in findings.methods if m.detail]),
    ]
    return _Section("results", "Results", join(content))


def _plots(findings: Findings) -> _Section | None:
    if len(findings.methods) < 2 and len(findings.run.images) < 2:
        return None  # a dot alone says less than its number
    figures = [each for m in findings.metrics if (each := metric_figure(findings, m))]
    if not figures:
        return None
    content = join([_note(HOW_TO_SEE), tag("div", *figures, class_="plots")])
    return _Section("plots", "Metric by metric", content)


def _paired(findings: Findings) -> _Section | None:
    if not findings.others or findings.reference is None or not findings.versus:
        return None
    few = len(findings.run.images) < FEW_IMAGES
    note = f"{words.HOW_TO_COMPARE} {words.WITH_FEW}" if few else words.HOW_TO_COMPARE
    title = f"{named(findings.reference)} against the others"
    return _Section("paired", title, join([_note(note), paired_tables(findings)]))


def _pictures(findings: Findings, shown: Sequence[ShownImage], encoded: Encoded) -> _Section | None:
    if not shown:
        return None
    order, title = "In the order of the set.", "Pictures"
    if findings.reference and findings.gauge:
        name = named(findings.reference)
        title = "Pictures, the worst first"
        order = f"The images on which {name} does worst by {findings.gauge.name} come first."
    total = len(findings.run.images)
    of = f"{len(shown)} of {counted(total, 'image')}. " if len(shown) < total else ""
    about = (
        f"{of}{order} Crops of {CROP_PX} px, one pixel of the picture to one of the page, stored "
        f"{encoded.how}. Smaller pictures are enlarged to the size of the others; the key photo "
        "shows the same place of the picture, which moved between the two moments. The scores are "
        "of the whole image."
    )
    hint = (
        "Press a crop to magnify its whole row, twice, then four times; move to look around. "
        "On the keyboard: Tab to a row, Enter, the arrow keys, Escape."
    )
    notes = [_note(about), tag("p", hint, class_="note scripted")]
    return _Section("pictures", title, join([*notes, gallery(findings, shown, encoded)]))


def _images(findings: Findings) -> _Section | None:
    count = len(findings.run.scores)
    if not count:
        return None
    table = image_table(findings)
    content = tag("details", tag("summary", counted(count, "line")), table, open=count <= OPEN_ROWS)
    return _Section("images", "Every image", content)


def _published(findings: Findings) -> _Section | None:
    tables = [published_table(table) for table in findings.run.published]
    return _Section("published", "What the paper states", join(tables)) if tables else None


def _made(findings: Findings) -> _Section:
    run = findings.run
    about: dict[str, object] = {**run.environment, "seed of the bootstrap": run.seed}
    content = [
        tag("ul", *(tag("li", note) for note in run.notes)) if run.notes else None,
        tag("pre", tag("code", run.command), tabindex=0) if run.command else None,
        _list("", about.items()),
    ]
    return _Section("made", "How this was made", join(content))


def _list(title: str, pairs: Iterable[tuple[str, object]]) -> Markup | None:
    """List names, each with a text about it."""
    rows = [
        tag("div", tag("dt", name), tag("dd", DASH if text == "" else text)) for name, text in pairs
    ]
    if not rows:
        return None
    return join([tag("h3", title) if title else None, tag("dl", *rows, class_="list")])


def _packaged(name: str) -> Markup:
    """Read a file of the package, as it is."""
    return Markup(files("livemoments.lab.report").joinpath(name).read_text(encoding="utf-8"))
