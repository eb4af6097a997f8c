"""What the report says: digits, ranks, differences, the sentences, and the Markdown."""

from dataclasses import replace

import pytest
from support.report_runs import FID, GAN, LPIPS, MUSIQ, NIQE, OURS, PSNR, make_run, only, score

from livemoments.lab.benchmark.results import MetricInfo
from livemoments.lab.benchmark.statistics import Interval
from livemoments.lab.report.findings import ends, find, printed
from livemoments.lab.report.markdown import markdown
from livemoments.lab.report.plots import metric_figure
from livemoments.lab.report.words import listed, summary

GOLDEN = """\
# A test

Set: made.

2 methods on 3 images, scored by 2 metrics. **livemoments** has the best mean: in PSNR-Y and \
LPIPS-AlexNet clearly better than Real-ESRGAN. 3 images are few: intervals are too narrow for \
so small a set, and another set may turn the order round. 1 metric could not be had.

| Method | PSNR-Y ↑ | LPIPS-AlexNet ↓ | seconds per image | parameters, millions |
| --- | ---: | ---: | ---: | ---: |
| Real-ESRGAN | 30.00 | 0.2100 | 1.500 | 16.70 |
| livemoments | **32.00** | **0.1100** | 1.500 | 7.30 |

Not available:

- MUSIQ\\_re: needs pyiqa

## livemoments against the others

| Compared with | Metric | Difference | 95 % | Better on | p |  |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
| Real-ESRGAN | PSNR-Y | +2.00 | +2.00 to +2.00 | 3 of 3 | < 0.001 | better |
| Real-ESRGAN | LPIPS-AlexNet | −0.1000 | −0.1000 to −0.1000 | 3 of 3 | < 0.001 | better |

## How this was made

```
livemoments benchmark
```

- Python: 3.11
- date: 2025-11-21
- seed of the bootstrap: 3

- The frames were made.
"""


def said(run):
    return " ".join(map(str, summary(find(run))))


def test_the_markdown_of_a_small_run():
    run = make_run(images=3, metrics=[PSNR, LPIPS, MUSIQ])
    assert markdown(find(only(run, "gan", "livemoments"))) == GOLDEN


@pytest.mark.parametrize(
    ("value", "digits", "sign", "text"),
    [(1.25, 1, False, "1.2"), (-0.0312, 3, False, "−0.031"), (-0.0001, 2, True, "+0.00"),
     (2, 2, True, "+2.00"), (31.456, 2, False, "31.46")],
)  # fmt: skip
def test_numbers_as_printed(value, digits, sign, text):
    assert printed(value, digits, sign=sign) == text


def test_an_interval_as_printed():
    interval = Interval(mean=0, low=-1, high=1, count=2)
    assert ends(interval, 1, sign=True) == "−1.0 to +1.0"


@pytest.mark.parametrize(
    ("scale", "digits"), [(1e-5, 6), (0.01, 4), (0.9, 4), (3.0, 3), (31.0, 2), (312.0, 1), (4e5, 0)]
)
def test_a_column_has_as_many_digits_as_papers_print(scale, digits):
    run = make_run(images=1, metrics=[PSNR], methods=[OURS],
                   scores=[score("livemoments", "image 0", PSNR_Y=scale)])  # fmt: skip
    assert find(run).digits["PSNR-Y"] == digits


def test_equal_as_printed_is_equal_in_rank():
    run = make_run(images=1, metrics=[PSNR], scores=[
        score("bicubic", "image 0", PSNR_Y=30.001), score("gan", "image 0", PSNR_Y=30.004),
        score("livemoments", "image 0", PSNR_Y=29.0),
    ])  # fmt: skip
    found = find(run)
    assert found.ranks == {
        ("bicubic", "PSNR-Y"): "best", ("gan", "PSNR-Y"): "best",
        ("livemoments", "PSNR-Y"): "second",
    }  # fmt: skip
    assert "Bicubic and Real-ESRGAN are equal and best in PSNR-Y." in said(run)


def test_a_single_method_has_no_rank():
    found = find(only(make_run(images=3), "gan"))
    assert not found.ranks and not found.leads and found.reference is GAN


def test_the_first_method_is_the_reference_where_ours_is_not_there():
    assert find(only(make_run(images=2), "bicubic", "gan")).reference.name == "bicubic"
    assert find(make_run(images=2)).reference is OURS


def test_a_method_that_failed_midway_is_shown_with_what_it_has():
    run = make_run(images=3)
    broken = replace(GAN, failed="out of memory")
    scores = [s for s in run.scores if (s.method, s.image) != ("gan", "image 2")]
    found = find(replace(run, methods=[broken, OURS], scores=scores))
    assert found.methods == (broken, OURS)
    assert found.cell(broken, found.tables()[0][0]).note == "mean of 2 of 3 images"


def test_differences_count_wins_in_the_metrics_direction():
    found = find(make_run(images=4))
    up, down, even = (found.difference(GAN, metric) for metric in (PSNR, LPIPS, NIQE))
    assert (up.text, up.wins, up.count, up.verdict) == ("+2.00", 4, 4, "better")
    assert (down.text, down.wins, down.verdict) == ("−0.1000", 4, "better")
    assert (even.wins, even.verdict) == (2, "not clear")


def test_worse_is_said_to_be_worse():
    run = make_run(images=4)
    swapped = {"gan": "livemoments", "livemoments": "gan", "bicubic": "bicubic"}
    scores = [replace(s, method=swapped[s.method]) for s in run.scores]
    found = find(replace(run, scores=scores))
    assert found.difference(GAN, PSNR).verdict == "worse"
    assert found.difference(GAN, LPIPS).wins == 0
    words = "Real-ESRGAN has the best mean: in PSNR-Y and LPIPS-AlexNet clearly better than"
    assert f"{words} livemoments" in said(replace(run, scores=scores))


def test_two_images_settle_nothing():
    found = find(make_run(images=2))
    difference = found.difference(GAN, PSNR)
    assert (difference.verdict, difference.probability) == ("too few images", "")
    assert "better than Real-ESRGAN, on too few images to tell" in said(make_run(images=2))


def test_small_differences_keep_their_digits():
    run = only(make_run(images=3), "gan", "livemoments")
    scores = [replace(s, values={"PSNR-Y": 30 + 0.0021 * (s.method == "gan")}) for s in run.scores]
    found = find(replace(run, scores=scores, metrics=[PSNR]))
    assert found.difference(GAN, PSNR).text == "−0.0021"


def test_images_that_two_methods_do_not_share_are_not_compared():
    run = make_run(images=2)
    scores = [s for s in run.scores if (s.method == "gan") == (s.image == "image 0")]
    assert find(replace(run, scores=scores)).difference(GAN, PSNR) is None
    assert "no image in common" in markdown(find(replace(run, scores=scores)))


def test_columns_are_put_into_tables_that_fit_on_paper():
    many = [MetricInfo(name=f"m{i}", better="lower", against="truth") for i in range(9)]
    found = find(make_run(images=1, metrics=[*many, NIQE, FID]))
    tables = [[column.name for column in table] for table in found.tables()]
    assert tables == [
        [f"m{i}" for i in range(7)],
        ["m7", "m8", "NIQE_re", "patch-FID", "seconds", "parameters_m"],
    ]


@pytest.mark.parametrize(
    ("metrics", "name"),
    [([PSNR, LPIPS], "LPIPS-AlexNet"), ([NIQE, PSNR], "PSNR-Y"), ([FID, NIQE], "NIQE_re")],
)
def test_images_are_ordered_by_the_best_metric_there_is(metrics, name):
    assert find(make_run(images=1, metrics=metrics)).gauge.name == name
    assert find(make_run(images=1, metrics=[FID])).gauge is None


def test_words_in_a_row():
    assert [listed("abc"[:n]) for n in range(4)] == ["", "a", "a and b", "a, b and c"]


# --- plots ----------------------------------------------------------------------------------


def test_a_plot_has_a_dot_for_every_image_and_a_band_for_many():
    figure = metric_figure(find(only(make_run(images=5), "gan", "livemoments")), PSNR)
    assert figure.count('class="mean"') == 3 and figure.count('r="3"') == 15
    many = metric_figure(find(only(make_run(images=61), "gan", "livemoments")), PSNR)
    assert many.count('class="band"') == 3 and 'r="3"' not in many


def test_a_plot_points_to_what_lies_far_off():
    run = make_run(images=3, methods=[*make_run().methods, replace(GAN, name="key", label="Key")])
    far = [score("key", f"image {i}", PSNR_Y=5.0 + i) for i in range(3)]
    figure = metric_figure(find(replace(run, scores=[*run.scores, *far])), PSNR)
    assert "\N{LEFTWARDS ARROW} 6.00" in figure and "26.00 \N{RIGHTWARDS ARROW}" in figure


def test_a_metric_of_equal_values_or_of_none_is_no_trouble():
    run = make_run(images=2)
    same = replace(run, scores=[replace(s, values={"PSNR-Y": 0.0}) for s in run.scores])
    assert metric_figure(find(same), PSNR).count("<svg") == 2
    assert metric_figure(find(same), LPIPS) is None
