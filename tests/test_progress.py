"""The stage timer."""

import pytest

from livemoments.progress import Stages


def test_a_stage_is_timed_and_reported_at_both_ends():
    reports = []
    stages = Stages(lambda *step: reports.append(step))
    with stages.stage("aligning"):
        stages.report("aligning", 2, 5)
        assert stages.seconds == {}
    assert reports == [("aligning", 0, 1), ("aligning", 2, 5), ("aligning", 1, 1)]
    assert stages.seconds.keys() == {"aligning"} and stages.seconds["aligning"] >= 0


def test_without_a_listener_nothing_is_reported():
    stages = Stages()
    with stages.stage("look"):
        stages.report("look", 1, 2)
    assert set(stages.seconds) == {"look"}


def test_a_stage_that_fails_is_not_reported_as_done():
    reports = []
    stages = Stages(lambda *step: reports.append(step))
    with pytest.raises(ValueError), stages.stage("aligning"):
        raise ValueError
    assert reports == [("aligning", 0, 1)] and stages.seconds == {}


def test_what_the_listener_raises_passes_through():
    def cancel(name: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Stages(cancel).stage("look"):
        pytest.fail("the stage must not begin")
