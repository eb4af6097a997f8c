"""Write the report in short, as Markdown for a README."""

import re
from collections.abc import Iterable, Sequence

from livemoments.lab.benchmark.results import MethodInfo, MetricInfo
from livemoments.lab.report.findings import DASH, Cell, Column, Findings, named
from livemoments.lab.report.markup import clean
from livemoments.lab.report.words import Sentence, summary

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~&])")


def markdown(findings: Findings) -> str:
    """Write the main tables, what is missing, the paired comparison and how it was made."""
    run = findings.run
    blocks = [f"# {_text(run.title)}", f"Set: {_text(run.set_name)}."]
    blocks += [" ".join(map(_sentence, summary(findings)))]
    if findings.methods:
        blocks += [_main_table(findings, columns) for columns in findings.tables()]
    blocks += _listed("Not available", [(m.name, m.missing) for m in run.metrics if m.missing])
    blocks += _listed("Failed", [(named(m), m.failed) for m in run.methods if m.failed])
    blocks += _paired(findings)
    blocks += ["## How this was made"]
    if run.command:
        blocks.append("\n".join(["```", clean(run.command).replace("```", "'''"), "```"]))
    about = {**run.environment, "seed of the bootstrap": run.seed}
    blocks.append("\n".join(f"- {_text(k)}: {_text(v)}" for k, v in about.items()))
    if run.notes:
        blocks.append("\n".join(f"- {_text(note)}" for note in run.notes))
    return "\n\n".join(block for block in blocks if block) + "\n"


def _sentence(sentence: Sentence) -> str:
    subject = f"**{_text(sentence.subject)}** " if sentence.subject else ""
    return subject + _text(sentence.text)


def _main_table(findings: Findings, columns: Sequence[Column]) -> str:
    rows = [
        [_text(named(method)), *(_mean(findings.cell(method, column)) for column in columns)]
        for method in findings.methods
    ]
    return _table(["Method", *(_text(column.head) for column in columns)], rows)


def _mean(cell: Cell) -> str:
    """Print a mean, bold where it is best."""
    return f"**{cell.text}**" if cell.rank == "best" else _text(cell.text)


def _paired(findings: Findings) -> list[str]:
    if not findings.others or findings.reference is None or not findings.versus:
        return []
    metrics = [m for m in findings.by_image if any(name == m.name for _, name in findings.versus)]
    rows = [
        [_text(named(other)), _text(metric.name), *_difference(findings, other, metric)]
        for other in findings.others
        for metric in metrics
    ]
    heads = ["Compared with", "Metric", "Difference", "95 %", "Better on", "p", ""]
    return [f"## {_text(named(findings.reference))} against the others", _table(heads, rows)]


def _difference(findings: Findings, other: MethodInfo, metric: MetricInfo) -> list[str]:
    found = findings.difference(other, metric)
    if found is None:
        return [DASH] * 4 + ["no image in common"]
    wins = f"{found.wins} of {found.count}"
    return [found.text, found.interval or DASH, wins, found.probability or DASH, found.verdict]


def _listed(title: str, pairs: Sequence[tuple[str, str]]) -> list[str]:
    if not pairs:
        return []
    return ["\n".join([f"{title}:", "", *(f"- {_text(n)}: {_text(why)}" for n, why in pairs)])]


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    ruler = ["---"] + ["---:"] * (len(heads) - 1)
    lines = [heads, ruler, *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _text(value: object) -> str:
    """Escape text for Markdown and bring it on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(clean(str(value)).split()))
