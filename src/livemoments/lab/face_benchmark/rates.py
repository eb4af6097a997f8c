"""How often a limit of distance errs: people refused as strangers, strangers taken for people.

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
    """Of queries and references."""

    same: np.ndarray  # (n,) of one person
    others: np.ndarray  # (m,) of two
    nearest: tuple[str, str, float]  # the two people nearest to each other


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What one limit costs."""

    limit: float
    refused: float  # share of pairs of one person that are farther apart
    accepted: float  # share of pairs of two people that are not


def distances_of_frames(references: Sequence[Look], queries: Sequence[Look]) -> Distances:
    """Every query against every reference.

    Raises:
        InputError: there is no pair of one person, or none of two.
    """
    found = [
        (one.person, other.person, apart(one.identity, other.identity))
        for one in references
        for other in queries
        if one.person != other.person or _fair(one, other)
    ]
    return _distances(found)


def distances_of_tracks(references: Sequence[Look], queries: Sequence[Look]) -> Distances:
    """Every reference against the mean of all queries of a person in one source.

    Raises:
        InputError: as distances_of_frames.
    """
    tracks: dict[tuple[str, str], list[Look]] = {}
    for look in queries:
        tracks.setdefault((look.person, look.source), []).append(look)
    found = []
    for one in references:
        for (person, _), looks in tracks.items():
            fair = [each for each in looks if one.person != person or _fair(one, each)]
            if fair:
                mean = mean_identity([each.identity for each in fair])
                found.append((one.person, person, apart(one.identity, mean)))
    return _distances(found)


def rates(distances: Distances, limits: Sequence[float]) -> list[Rates]:
    """What each limit costs."""
    return [
        Rates(
            limit=limit,
            refused=float((distances.same > limit).mean()),
            accepted=float((distances.others <= limit).mean()),
        )
        for limit in limits
    ]


def table(rows: Sequence[tuple[str, Distances]], limits: Sequence[float]) -> str:
    """The rates in Markdown: a row for each kind of query, FRR / FAR for each limit."""
    names = " | ".join(f"{limit:.2f}" for limit in limits)
    lines = [
        f"| queries | pairs: same, others | same: median, 95 % | others: 5 %, median | {names} |",
        "|---" * (4 + len(limits)) + "|",
    ]
    for name, found in rows:
        same, others = found.same, found.others
        costs = " | ".join(
            f"{100 * each.refused:.1f} / {100 * each.accepted:.1f}"
            for each in rates(found, limits)
        )  # fmt: skip
        lines.append(
            f"| {name} | {len(same)}, {len(others)} "
            f"| {np.median(same):.2f}, {np.quantile(same, 0.95):.2f} "
            f"| {np.quantile(others, 0.05):.2f}, {np.median(others):.2f} | {costs} |"
        )
    return "\n".join(lines) + "\n"


def _fair(one: Look, other: Look) -> bool:
    return one.source != other.source or abs(one.time_s - other.time_s) >= APART_S


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
