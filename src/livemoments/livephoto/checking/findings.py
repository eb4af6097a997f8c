"""Findings of a check of a Live or Motion Photo file: one for each rule of its format.

A check never raises on a bad file: it reports which rules hold, which are broken, and which the
file gives no ground to judge.
"""

import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from livemoments.errors import InputError

Verdict = tuple[bool | None, str]  # what a Finding states about the rule
Subject = TypeVar("Subject")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One rule of a format, held against one file."""

    rule: str  # the rule in words, as a reader of the format's description would know it
    passed: bool | None  # None: the rule does not apply to this file
    found: str  # what the file has, for a person to read
    quirk: str = ""  # why it does no harm that the rule is broken: phones do it, readers cope

    @property
    def result(self) -> str:
        """In a word or two: "pass", "fail", "quirk" or "not applicable"."""
        if self.passed is None:
            return "not applicable"
        if self.passed:
            return "pass"
        return "quirk" if self.quirk else "fail"


def broken(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings whose rule the file breaks, quirks of phones too: ours have none."""
    return [finding for finding in findings if finding.passed is False]


def failed(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings whose rule the file breaks otherwise than phones themselves do."""
    return [finding for finding in broken(findings) if not finding.quirk]


def with_quirk(finding: Finding, quirk: str) -> Finding:
    """Excuse a finding whose rule is broken, if there is a known reason for it."""
    return replace(finding, quirk=quirk) if finding.passed is False else finding


def judge(rules: Mapping[str, Callable[[Subject], Verdict]], subject: Subject) -> list[Finding]:
    """Hold a file, read as its rules want it, against each of them.

    A file so damaged that a rule cannot even be looked at breaks it.
    """
    findings = []
    for rule, verdict_on in rules.items():
        try:
            passed, found = verdict_on(subject)
        except (InputError, struct.error, ValueError, IndexError) as error:
            passed, found = False, f"too damaged to tell ({error})"
        findings.append(Finding(rule=rule, passed=passed, found=found))
    return findings
