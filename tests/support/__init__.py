"""Makers of test files, tiny models and other helpers of the tests."""

from pathlib import Path

ROOT = Path(__file__).parents[2]  # of the checkout
DATA = ROOT / "tests" / "data"
