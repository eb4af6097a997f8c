"""What checking a Live or Motion Photo file yields: one finding for each rule of its format.

A check never raises on a bad file: it says which rules hold, which are broken, and which the file
gives no ground to judge.
"""

import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from livemoments.errors import InputError

Verdict = tuple[bool | None, str]  # what Finding says beside the rule
Subject = TypeVar("Subject")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One rule of a format, held against one file."""

    rule: str  # the rule in words, as a reader of the format's description would know it
    passed: bool | None  # None: the rule does not apply to this file
    found: str  # what the file has, for a person to read


def broken(findings: Iterable[Finding]) -> list[Finding]:
    """The findings whose rule the file breaks."""
    return [finding for finding in findings if finding.passed is False]


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
