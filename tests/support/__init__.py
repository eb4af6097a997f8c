"""Makers of test files, tiny models and other helpers of the tests."""

from pathlib import Path

ROOT = Path(__file__).parents[2]  # of the checkout
DATA = ROOT / "tests" / "data"
SLOW = False  # whether the slow tests run too; set by conftest.py before tests are collected


def rounds(thorough: int, usual: int) -> int:
    """Return how often a test repeats a check on random input: thoroughly in the slow tests."""
    return thorough if SLOW else usual
