"""Correlations against worked examples and scipy; a study of people's rankings, end to end."""

import numpy as np
import pytest

from livemoments.errors import ConfigError, InputError, MissingFileError
from livemoments.lab.experiments import study
from livemoments.lab.experiments.study import (
    correlate,
    kendall_w,
    pearson,
    ranks,
    spearman,
    standardised,
)

METHODS = ("ours", "bicubic", "esrgan", "other")


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr(study, "RESAMPLES", 200)


# The maths


def test_ranks_share_the_mean_where_values_are_equal():
    np.testing.assert_array_equal(ranks(np.array([3.0, 1, 3, 2])), [3.5, 1, 3.5, 2])
    np.testing.assert_array_equal(ranks(np.array([7.0, 7, 7])), [2, 2, 2])


def test_spearman_of_a_textbook():
    # Hours of television and IQ: rho = -29/165 (the example of Wikipedia's article).
    iq = np.array([106, 86, 100, 101, 99, 103, 97, 113, 112, 110])
    hours = np.array([7, 0, 27, 50, 28, 29, 20, 12, 6, 17])
    assert spearman(iq, hours) == pytest.approx(-29 / 165)


def test_pearson_of_lines():
    x = np.arange(5.0)
    assert pearson(x, 2 * x + 3) == pytest.approx(1) and pearson(x, 3 - x) == pytest.approx(-1)
    assert pearson(np.array([1.0, 2, 3]), np.array([1.0, 3, 2])) == pytest.approx(0.5)


def test_what_does_not_vary_has_no_correlation():
    x, same = np.arange(4.0), np.full(4, 0.1) + [0, 1e-17, 0, 0]
    for correlate_two in (pearson, spearman):
        assert correlate_two(x, same) is None and correlate_two(same, x) is None
    assert standardised(same) is None
    # Rounding makes no variation of 0.1 + 0.2 against 0.3.
    assert pearson(np.array([0.1 + 0.2, 0.3, 0.3]), np.arange(3.0)) is None


def test_kendall_w_of_agreement_and_its_opposite():
    alike = np.array([[1, 2, 3, 4]] * 5)
    assert kendall_w(alike) == pytest.approx(1)
    assert kendall_w(np.array([[1, 2, 3], [3, 2, 1]])) == pytest.approx(0)
    # Three raters by hand: sums 4, 7, 9, 10 about 7.5; W = 12 x 21 / (9 x 60).
    ranked = np.array([[1, 2, 3, 4], [1, 3, 2, 4], [2, 2, 4, 2]])
    assert kendall_w(ranked[:2]) == pytest.approx(12 * 18 / (4 * 60))
    assert kendall_w(np.array([[1, 2, 3, 4], [2, 1, 4, 3], [1, 4, 2, 3]])) == pytest.approx(
        12 * 21 / (9 * 60)
    )


def test_kendall_w_is_corrected_for_ties():
    ranked = np.array([[1, 2.5, 2.5, 4], [1, 2.5, 2.5, 4]])
    assert kendall_w(ranked) == pytest.approx(1)  # all ties, and all alike
    assert kendall_w(np.ones((3, 4))) is None  # nobody told anything apart
    assert kendall_w(np.array([[1, 2, 3]])) is None
    with pytest.raises(ConfigError, match="raters x things"):
        kendall_w(np.arange(3))


def test_scipy_finds_the_same():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    for _ in range(20):
        x, y = rng.integers(0, 6, 12), rng.normal(size=12)
        assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)
        assert pearson(x, y) == pytest.approx(stats.pearsonr(x, y).statistic)
        np.testing.assert_array_equal(ranks(x), stats.rankdata(x))
        ranked = rng.integers(1, 5, (6, 4))  # Friedman's chi-square is m (n - 1) W
        chi = stats.friedmanchisquare(*ranked.T).statistic
        assert kendall_w(ranked) == pytest.approx(chi / (6 * 3))


# A study


def write(path, header, rows):
    lines = [",".join(map(str, row)) for row in [header, *rows]]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def rankings(folder, orders, people=3, images=4):
    """orders: by person and image, a function that gives the methods' ranks."""
    rows = [
        (f"p{who}", f"i{image}", method, rank)
        for who in range(people)
        for image in range(images)
        for method, rank in zip(METHODS, orders(who, image), strict=True)
    ]
    return write(folder / "rankings.csv", ("participant", "image", "method", "rank"), rows)


def scores(folder, of, images=4, names=("LPIPS-AlexNet", "PSNR-Y")):
    rows = [
        (method, f"i{image}", *of(m, image), 1.5)
        for m, method in enumerate(METHODS)
        for image in range(images)
    ]
    return write(folder / "scores.csv", ("method", "image", *names, "seconds"), rows)


def usual(who, image):
    return (1, 2, 3, 4)


def fair(method, image):
    """LPIPS as people see it, PSNR the other way round; images of different difficulty."""
    return (0.1 * (method + 1) + image, 20 - 5 * image + method)


def test_a_metric_that_agrees_is_positive_whichever_way_it_counts(tmp_path):
    found = correlate(rankings(tmp_path, usual), scores(tmp_path, fair))
    assert (found.participants, found.images, found.methods) == (3, 4, METHODS)
    assert found.kendall_w.mean == pytest.approx(1)
    assert found.mean_ranks == {"ours": 1, "bicubic": 2, "esrgan": 3, "other": 4}
    agrees, disagrees = found.metrics["LPIPS-AlexNet"], found.metrics["PSNR-Y"]
    for kind in ("spearman", "pearson", "pooled_spearman", "pooled_pearson"):
        assert getattr(agrees, kind).mean == pytest.approx(1), kind
        assert getattr(disagrees, kind).mean == pytest.approx(-1), kind
    assert agrees.images == 4 and "seconds" not in found.metrics


def test_both_ways_to_put_images_together(tmp_path):
    # Two images agree wholly, two the other way round.
    def of(method, image):
        return (method if image < 2 else -method, 0.0 + (method == 3) * (image == 0))

    found = correlate(rankings(tmp_path, usual), scores(tmp_path, of)).metrics
    lpips = found["LPIPS-AlexNet"]
    for kind in ("spearman", "pearson", "pooled_spearman", "pooled_pearson"):
        interval = getattr(lpips, kind)
        assert interval.mean == pytest.approx(0, abs=1e-12), kind
        assert interval.low == pytest.approx(-1) and interval.high == pytest.approx(1)
    # PSNR varies on one image alone.
    assert found["PSNR-Y"].images == 1 and "3 images without" in found["PSNR-Y"].message
    assert found["PSNR-Y"].pearson.mean == pytest.approx(-np.sqrt(0.6))


def test_pooling_forgets_how_hard_an_image_is(tmp_path):
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 0.05, (4, 4))

    def of(method, image):
        return (0.1 * method + noise[method, image], 30 - method)

    def harder(method, image):
        return (50 * image + (image + 1) * of(method, image)[0], 30 - method)

    ranked = rankings(tmp_path, lambda who, image: (1, 2, 2, 4) if who else (2, 1, 3, 4))
    plain = correlate(ranked, scores(tmp_path, of)).metrics["LPIPS-AlexNet"]
    hard = correlate(ranked, scores(tmp_path, harder)).metrics["LPIPS-AlexNet"]
    for kind in ("spearman", "pearson", "pooled_spearman", "pooled_pearson"):
        assert getattr(plain, kind).mean == pytest.approx(getattr(hard, kind).mean)
    stats = pytest.importorskip("scipy.stats")
    people = -np.mean([(2, 1, 3, 4), (1, 2, 2, 4), (1, 2, 2, 4)], 0)
    metric = -np.array([[of(m, i)[0] for m in range(4)] for i in range(4)])
    within = [stats.spearmanr(people, row).statistic for row in metric]
    assert plain.spearman.mean == pytest.approx(np.mean(within))
    pooled = stats.pearsonr(np.tile(stats.zscore(people), 4), stats.zscore(metric, 1).ravel())
    assert plain.pooled_pearson.mean == pytest.approx(pooled.statistic)


def test_intervals_are_of_images_and_repeat(tmp_path):
    rng = np.random.default_rng(2)
    values = rng.normal(size=(4, 12))
    paths = (
        rankings(tmp_path, usual, images=12),
        scores(tmp_path, lambda m, i: (m + values[m, i], m), images=12),
    )
    found, again, other = (correlate(*paths, seed=s).metrics["LPIPS-AlexNet"] for s in (0, 0, 1))
    assert found == again and found != other
    for interval in (found.spearman, found.pooled_pearson, found.pooled_spearman):
        assert -1 <= interval.low < interval.mean < interval.high <= 1 and interval.count == 12


def test_the_paper_stands_beside_it(tmp_path):
    names = ("NIQE_re", "mine")
    given = rankings(tmp_path, usual), scores(tmp_path, fair, names=names)
    lines = "\n".join(correlate(*given, better={"mine": "lower"}).lines())
    for words in ("Kendall's W", "within each image", "published, of other pictures", "0.493"):
        assert words in lines, lines
    plain = "\n".join(correlate(given[0], scores(tmp_path, fair)).lines())
    assert "published" not in plain


def test_images_that_nobody_ranked_are_told(tmp_path):
    found = correlate(rankings(tmp_path, usual, images=2), scores(tmp_path, fair, images=9))
    assert found.images == 2 and "nobody ranked them: 7 images" in found.notes[0]


def test_one_participant_has_nobody_to_agree_with(tmp_path):
    found = correlate(rankings(tmp_path, usual, people=1), scores(tmp_path, fair))
    assert found.kendall_w is None and found.metrics["PSNR-Y"].spearman is not None
    assert "images): -" in found.lines()[0]


def test_a_constant_metric_is_told_and_others_go_on(tmp_path):
    ranked = rankings(tmp_path, usual)
    found = correlate(ranked, scores(tmp_path, lambda m, i: (m, 30 + i))).metrics
    assert found["PSNR-Y"].spearman is None and found["LPIPS-AlexNet"].spearman is not None
    assert "the same value for every method" in found["PSNR-Y"].message
    with pytest.raises(InputError, match="no metric can be correlated.*the same value"):
        correlate(ranked, scores(tmp_path, lambda m, i: (1, 30)))


def test_a_metric_without_values_is_told(tmp_path):
    given = rankings(tmp_path, usual), scores(tmp_path, lambda m, i: (m, ""))
    assert correlate(*given).metrics["PSNR-Y"].message == "no values"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("participant", "person"), "no column 'participant'; it needs participant, image"),
        (("p1,i0,ours,1", "p1,i0,ours,first"), "line 18: the rank is 'first'"),
        (("p1,i0,ours,1", "p1,i0,ours,nan"), "must be a number above 0"),
        (("p1,i0,ours,1", "p1,i0,ours,0"), "must be a number above 0"),
        (("p1,i0,ours,1", "p1,i0,ours,"), "line 18: the rank is missing"),
        (("p1,i0,ours,1", "p1,i0,ours,1,1"), "more cells than columns"),
        (("p1,i0,ours,1\n", ""), "'p1' did not rank 'ours' of 'i0', others did"),
        (("p1,i0,ours,1\n", "p1,i0,ours,1\np1,i0,ours,2\n"), "ranked 'ours' of 'i0' twice"),
        (("ours", "theirs"), "no scores of the method 'theirs'"),
        (("i3", "i9"), "no scores of the image 'i9'"),
    ],
)
def test_what_is_wrong_with_rankings_is_named(tmp_path, change, message):
    path = rankings(tmp_path, usual)
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(InputError, match=message.replace("[", r"\[")):
        correlate(path, scores(tmp_path, fair))


def test_rankings_by_nobody_are_named(tmp_path):
    ranked = write(tmp_path / "none.csv", ("participant", "image", "method", "rank"), [])
    with pytest.raises(InputError, match="ranked by nobody"):
        correlate(ranked, scores(tmp_path, fair))
    one = write(
        tmp_path / "one.csv", ("participant", "image", "method", "rank"), [("p", "i0", "ours", 1)]
    )
    with pytest.raises(InputError, match="one method alone was ranked"):
        correlate(one, scores(tmp_path, fair))


def test_what_is_wrong_with_scores_is_named(tmp_path):
    ranked = rankings(tmp_path, usual)
    with pytest.raises(MissingFileError, match="no such file"):
        correlate(ranked, tmp_path / "none.csv")
    given = scores(tmp_path, fair, names=("mine", "PSNR-Y"))
    with pytest.raises(ConfigError, match="higher or lower values of the metric .mine. are"):
        correlate(ranked, given)
    with pytest.raises(ConfigError, match="no scores of the metric 'yours'"):
        correlate(ranked, given, better={"yours": "lower"})
    given.write_text(given.read_text().replace("ours,i0,0.1,", "ours,i0,good,"))
    with pytest.raises(InputError, match="line 2: mine is 'good'"):
        correlate(ranked, given, better={"mine": "lower"})
    empty = write(tmp_path / "empty.csv", ("method", "image", "seconds"), [("ours", "i0", 1)])
    with pytest.raises(InputError, match="no scores; give the scores.csv"):
        correlate(ranked, empty)
    twice = write(tmp_path / "twice.csv", ("method", "image", "PSNR-Y"), [("ours", "i0", 1)] * 2)
    with pytest.raises(InputError, match="twice"):
        correlate(ranked, twice)


def test_files_of_a_spreadsheet_are_read(tmp_path):
    path = rankings(tmp_path, usual)
    path.write_text("\ufeff" + path.read_text().replace(",", ", ").replace("\n", "\r\n"))
    assert correlate(path, scores(tmp_path, fair)).participants == 3
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read as CSV"):
        correlate(path, scores(tmp_path, fair))
