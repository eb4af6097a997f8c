"""Means with intervals and paired comparisons: what must hold of them whatever the numbers."""

import numpy as np
import pytest

from livemoments.errors import ConfigError
from livemoments.lab.benchmark import statistics
from livemoments.lab.benchmark.statistics import LEVEL, compare, mean_interval


@pytest.fixture
def values():
    return np.random.default_rng(3).normal(30, 2, 40).tolist()


class TestMeanInterval:
    def test_the_mean_lies_within(self, values):
        found = mean_interval(values)
        assert found.low < found.mean < found.high
        assert found.mean == pytest.approx(np.mean(values)) and found.count == 40

    def test_it_is_as_wide_as_the_normal_distribution_says(self, values):
        found = mean_interval(values)
        expected = 2 * 1.96 * np.std(values) / np.sqrt(40)
        assert found.high - found.low == pytest.approx(expected, rel=0.06)

    def test_it_holds_the_truth_as_often_as_it_says(self, monkeypatch):
        """Of 400 samples of 50 normal values, about 95 % of the intervals hold the true mean."""
        monkeypatch.setattr(statistics, "RESAMPLES", 400)
        rng = np.random.default_rng(11)
        hit = 0
        for trial in range(400):
            found = mean_interval(rng.normal(5, 3, 50).tolist(), seed=trial)
            hit += found.low <= 5 <= found.high
        # The deviation of such a share is 1.1 %, and a bootstrap of 50 is a little narrow.
        assert LEVEL - 0.045 < hit / 400 < LEVEL + 0.035

    def test_more_values_make_it_narrower(self):
        rng = np.random.default_rng(0)
        widths = [
            found.high - found.low
            for count in (10, 100, 1000)
            for found in [mean_interval(rng.normal(0, 1, count).tolist())]
        ]
        assert widths == sorted(widths, reverse=True)

    def test_many_values_take_the_way_that_saves_memory(self, monkeypatch):
        monkeypatch.setattr(statistics, "RESAMPLES", 300)
        values = np.random.default_rng(1).normal(0, 1, 2500).tolist()
        found = mean_interval(values)
        assert found.high - found.low == pytest.approx(2 * 1.96 / 50, rel=0.15)

    def test_one_value_has_no_width(self):
        found = mean_interval([7.5])
        assert (found.mean, found.low, found.high, found.count) == (7.5, 7.5, 7.5, 1)

    def test_equal_values_have_none_either(self):
        found = mean_interval([2.0] * 9)
        assert found.low == found.mean == found.high == 2

    def test_a_seed_fixes_it(self, values):
        assert mean_interval(values, seed=1) == mean_interval(values, seed=1)
        assert mean_interval(values, seed=1) != mean_interval(values, seed=2)

    def test_it_moves_and_grows_with_the_values(self, values):
        found, other = mean_interval(values), mean_interval([2 * v + 3 for v in values])
        assert other.low == pytest.approx(2 * found.low + 3)
        assert other.high == pytest.approx(2 * found.high + 3)

    def test_no_values_are_refused(self):
        with pytest.raises(ConfigError, match="the mean of no values"):
            mean_interval([])


class TestCompare:
    def test_it_is_the_interval_of_the_differences(self, values):
        other = [v - 1 for v in values[::-1]]
        found = compare(values, other, seed=4)
        differences = [a - b for a, b in zip(values, other, strict=True)]
        assert found.difference == mean_interval(differences, seed=4)
        assert found.wins == sum(d > 0 for d in differences)

    def test_the_other_way_round_it_is_the_same_with_its_sign(self, values):
        other = np.random.default_rng(5).normal(29.5, 2, 40).tolist()
        one, two = compare(values, other), compare(other, values)
        assert one.difference.mean == -two.difference.mean
        assert one.difference.low == pytest.approx(-two.difference.high)
        assert one.probability == two.probability
        assert one.wins + two.wins == 40 and one.clear == two.clear

    def test_pairing_sees_what_the_means_alone_do_not(self):
        """A small gain on every image, of images that differ much more among themselves."""
        rng = np.random.default_rng(2)
        first = rng.normal(30, 5, 30)
        second = first - 0.2 - rng.normal(0, 0.1, 30)
        found = compare(first.tolist(), second.tolist())
        assert found.clear and found.probability < 0.01
        apart = mean_interval(first.tolist()), mean_interval(second.tolist())
        assert apart[0].low < apart[1].high

    def test_what_is_alike_is_not_clear(self, values):
        found = compare(values, values)
        assert not found.clear and found.probability == 1 and found.wins == 0
        assert found.difference.mean == 0

    def test_of_no_difference_it_seldom_claims_one(self, monkeypatch):
        monkeypatch.setattr(statistics, "RESAMPLES", 300)
        rng = np.random.default_rng(9)
        claimed = sum(
            compare(rng.normal(0, 1, 40).tolist(), rng.normal(0, 1, 40).tolist()).clear
            for _ in range(300)
        )
        assert claimed / 300 < 0.10

    def test_one_pair_says_nothing_about_chance(self):
        found = compare([3.0], [2.0])
        assert found.difference.count == 1 and found.wins == 1

    @pytest.mark.parametrize("other", [[1.0], [1.0, 2.0, 3.0], []])
    def test_lists_of_two_lengths_are_refused(self, other):
        with pytest.raises(ConfigError, match=f"2 and {len(other)} values cannot be paired"):
            compare([1.0, 2.0], other)

    def test_none_are_refused(self):
        with pytest.raises(ConfigError, match="no values"):
            compare([], [])
