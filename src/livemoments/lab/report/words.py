"""Put the findings into sentences: who leads, whether that is clear, what to be careful of."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from livemoments.lab.report.findings import FEW_IMAGES, LEAST_IMAGES, Findings, Lead, named

HOW_TO_READ = (
    "Bold is best, underlined second best, of the methods that have a value for as many images as "
    "any. Below each mean stands its 95 % confidence interval, by the bootstrap over images."
)
HOW_TO_COMPARE = (
    "Image by image, the first method less the other: the mean difference, its 95 % confidence "
    "interval, on how many images the first is better, and how probable so large a difference of "
    "either sign would be were there none. \N{BLACK UP-POINTING SMALL TRIANGLE} is clearly better, "
    "\N{BLACK DOWN-POINTING SMALL TRIANGLE} clearly worse, \N{WHITE CIRCLE} neither. Clear is not "
    "large; and of twenty comparisons one may look clear by chance."
)
WITH_FEW = (
    f"With fewer than {FEW_IMAGES} images both claim too much: intervals are too narrow, and "
    "differences look less probable than they are."
)
AHEAD = {
    "clear": "clearly better than {}",
    "unclear": "not clearly better than {}",
    "unknown": "better than {}, on too few images to tell",
    "set": "better than {}, by one number for the whole set",
    "alone": "it alone has a value",
}


@dataclass(frozen=True)
class Sentence:
    """A sentence: a subject, to be emphasised, and how it goes on."""

    subject: str
    text: str

    def __str__(self) -> str:
        return f"{self.subject} {self.text}".strip()


def summary(findings: Findings) -> list[Sentence]:
    """Describe the run in a paragraph."""
    run, methods = findings.run, findings.methods
    if not methods:
        nothing = "No method gave a picture that could be scored; the reasons stand below."
        return [Sentence("", nothing)]
    scope = f"{counted(len(methods), 'method')} on {counted(len(run.images), 'image')}"
    sentences = [Sentence("", f"{scope}, scored by {counted(len(findings.metrics), 'metric')}.")]
    if len(methods) == 1:
        sentences.append(Sentence(named(methods[0]), "stands alone: there is nothing to rank."))
    elif not findings.leads:
        sentences.append(Sentence("", "No metric has a value: there is nothing to rank."))
    by_leader = _grouped(findings.leads, "best")
    for best, leads in sorted(by_leader.items(), key=lambda item: -len(item[1])):
        sentences.append(_led_by(best, leads))
    return sentences + [Sentence("", caution) for caution in _cautions(findings)]


def listed(words: Iterable[str]) -> str:
    """List words: a, b and c; nothing of none."""
    *rest, last = [*words] or [""]
    return f"{', '.join(rest)} and {last}" if rest else last


def counted(number: int, word: str) -> str:
    """Count things: 1 image, 2 images."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def _led_by(best: tuple[str, ...], leads: Sequence[Lead]) -> Sentence:
    """Describe where some methods, mostly one, lead, and how clearly."""
    if len(best) > 1:
        return Sentence(listed(best), f"are equal and best in {_metrics(leads)}.")
    pieces = [
        f"in {_metrics(each)} {words.format(listed(second))}"
        for kind, words in AHEAD.items()
        for second, each in _grouped((x for x in leads if _kind(x) == kind), "second").items()
    ]
    return Sentence(best[0], f"has the best mean: {'; '.join(pieces)}.")


def _kind(lead: Lead) -> str:
    """Return the key of its words in AHEAD."""
    if not lead.second:
        return "alone"
    if lead.metric.against == "set":
        return "set"
    return {True: "clear", False: "unclear", None: "unknown"}[lead.clear]


def _grouped(leads: Iterable[Lead], by: str) -> dict[tuple[str, ...], list[Lead]]:
    found: dict[tuple[str, ...], list[Lead]] = {}
    for lead in leads:
        found.setdefault(getattr(lead, by), []).append(lead)
    return found


def _metrics(leads: Iterable[Lead]) -> str:
    return listed(lead.metric.name for lead in leads)


def _cautions(findings: Findings) -> list[str]:
    run = findings.run
    found = []
    if LEAST_IMAGES <= len(run.images) < FEW_IMAGES and findings.leads:
        found.append(
            f"{len(run.images)} images are few: intervals are too narrow for so small a set, and "
            "another set may turn the order round."
        )
    if failed := sum(bool(method.failed) for method in run.methods):
        found.append(f"{counted(failed, 'method')} failed.")
    if missing := sum(bool(metric.missing) for metric in run.metrics):
        found.append(f"{counted(missing, 'metric')} could not be had.")
    return found
