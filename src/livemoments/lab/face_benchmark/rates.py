"""Count how often a limit of distance errs: people not recognised, strangers taken for people.

Of each person there are photographs or clean frames (references), and frames as a phone's clip has
them (queries). A false refusal is a query of a person farther than the limit from their own
reference, a false acceptance one of somebody else within it. Queries that were taken too near a
reference in time do not count: they would be too easy.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from livemoments.errors import InputError
from livemoments.faces.identity import apart, mean_identity

APART_S = 0.3  # between a reference and a query of one clip


@dataclass(frozen=True, kw_only=True, eq=False)
class Look:
    """A face that was seen once."""

    person: str
    source: str  # the clip or photograph
    time_s: float  # in the clip; 0 of a photograph
    identity: np.ndarray  # (128,)


@dataclass(frozen=True, kw_only=True, eq=False)
class Distances:
    """The distances of queries and references."""

    same: np.ndarray  # (n,) of one person
    others: np.ndarray  # (m,) of two
    nearest: tuple[str, str, float]  # the two people nearest to each other

    def rates(self, limit: float) -> tuple[float, float]:
        """Return the shares of false refusals and of false acceptances at a limit."""
        return float((self.same > limit).mean()), float((self.others <= limit).mean())


def distances_of_frames(references: Sequence[Look], queries: Sequence[Look]) -> Distances:
    """Measure every query's distance to every reference.

    Raises:
        InputError: there is no pair of one person, or none of two.
    """
    pairs = ((one, other) for one in references for other in queries if _counts(one, other))
    return _distances([(a.person, b.person, apart(a.identity, b.identity)) for a, b in pairs])


def distances_of_tracks(references: Sequence[Look], queries: Sequence[Look]) -> Distances:
    """Measure the distance of every reference to the mean of a person's queries in one source.

    Raises:
        InputError: as distances_of_frames.
    """
    tracks: dict[tuple[str, str], list[Look]] = {}
    for look in queries:
        tracks.setdefault((look.person, look.source), []).append(look)
    found = []
    for one in references:
        for (person, _), looks in tracks.items():
            identities = [each.identity for each in looks if _counts(one, each)]
            if identities:
                found.append((one.person, person, apart(one.identity, mean_identity(identities))))
    return _distances(found)


def table(rows: Sequence[tuple[str, Distances]], limits: Sequence[float]) -> str:
    """Write the rates in Markdown: a row for each kind of query, FRR / FAR for each limit."""
    names = " | ".join(f"{limit:.2f}" for limit in limits)
    lines = [
        f"| queries | pairs: same, others | same: median, 95 % | others: 5 %, median | {names} |",
        "|---" * (4 + len(limits)) + "|",
    ]
    for name, found in rows:
        same, others = found.same, found.others
        rates = [found.rates(limit) for limit in limits]
        costs = " | ".join(f"{100 * no:.1f} / {100 * yes:.1f}" for no, yes in rates)
        lines.append(
            f"| {name} | {len(same)}, {len(others)} "
            f"| {np.median(same):.2f}, {np.quantile(same, 0.95):.2f} "
            f"| {np.quantile(others, 0.05):.2f}, {np.median(others):.2f} | {costs} |"
        )
    return "\n".join(lines) + "\n"


def _counts(one: Look, other: Look) -> bool:
    """Return whether a pair counts: of two people, two sources, or far enough apart in time."""
    differ = (one.person, one.source) != (other.person, other.source)
    return differ or abs(one.time_s - other.time_s) >= APART_S


def _distances(found: list[tuple[str, str, float]]) -> Distances:
    same = np.array([away for one, other, away in found if one == other])
    strangers = [each for each in found if each[0] != each[1]]
    if not len(same) or not strangers:
        raise InputError(
            f"{len(same)} pairs of one person and {len(strangers)} of two were given; "
            "rates need both: clips of two people or more"
        )
    return Distances(
        same=same,
        others=np.array([away for _, _, away in strangers]),
        nearest=min(strangers, key=lambda each: each[2]),
    )
