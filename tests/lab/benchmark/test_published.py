"""The paper's tables as transcribed: whole, and at one with what its text says of them."""

import json

import pytest

from livemoments.errors import ConfigError
from livemoments.lab.benchmark.published import FILE, OTHER_DATA, as_report_tables, published
from livemoments.lab.metrics.catalogue import METRICS

OURS = "LiveMoments"
FULL = "LiveMoments (full model)"
COSTS = ("parameters_m", "tflops", "peak_gb", "seconds")
SIZES = {  # rows and columns of numbers
    "1": (16, 12), "2": (16, 11), "3": (6, 5), "4": (5, 3), "5": (10, 5), "6": (4, 4), "7": (6, 8),
    "8": (4, 6), "9": (9, 6),
}  # fmt: skip
TABLES = [published(number) for number in SIZES]


def value_of(table, row, metric, data=None) -> float | None:
    """A row's value of one of our metrics, in the first column that has it."""
    pairs = zip(table.columns, table.rows.get(row, ()), strict=False)
    found = (v for column, v in pairs if column.metric == metric and data in (None, column.on))
    return next(found, None)


def best_rows(table, at: int) -> list[str]:
    """The rows with the best value of a column: several where they are equal."""
    values = {n: v for n, row in table.rows.items() if (v := row[at]) is not None}
    choose = max if table.columns[at].better == "higher" else min
    return [name for name, value in values.items() if value == choose(values.values())]


def column(number: str, name: str, on: str | None = None) -> int:
    (found,) = [
        i
        for i, one in enumerate(published(number).columns)
        if one.name == name and on in (None, one.on)
    ]
    return found


def test_every_table_is_there_and_none_beside():
    assert list(json.loads(FILE.read_text())["tables"]) == list(SIZES)


@pytest.mark.parametrize("table", TABLES, ids=SIZES)
def test_every_table_is_whole(table):
    assert (len(table.rows), len(table.columns)) == SIZES[table.number]
    assert table.title and table.section and 7 <= table.page <= 18
    for name, values in table.rows.items():
        assert len(values) == len(table.columns), name
        assert all(v is None or (isinstance(v, float) and v > 0) for v in values), name


@pytest.mark.parametrize("table", TABLES, ids=SIZES)
def test_every_number_is_of_its_kind(table):
    """A slipped column would put a PSNR under SSIM, or a CLIP-Q under MANIQA_re."""
    limits = {
        "PSNR": (20, 40), "SSIM": (0.6, 0.95), "LPIPS": (0.05, 0.5), "DISTS": (0.02, 0.25),
        "FID": (3, 40), "NIQE_re": (0.05, 0.6), "MUSIQ_re": (0.05, 0.5), "CLIPIQA_re": (0.05, 1.5),
        "MANIQA_re": (0.04, 0.4), "CLIP-Q": (0.9, 1), "DINO-Q": (0.7, 0.98),
        "Spearman": (0.3, 0.7), "Pearson": (0.3, 0.7),
    }  # fmt: skip
    for at, one in enumerate(table.columns):
        assert one.better in ("higher", "lower") and one.on
        assert one.metric is None or one.metric in (*METRICS, *COSTS)
        if one.metric in METRICS:
            assert one.better == METRICS[one.metric].better
        low, high = limits.get(one.name, (0, 1e6))
        for name, values in table.rows.items():
            value = values[at]
            assert value is None or low <= value <= high, (name, one.name)
            assert value is None or round(value, one.decimals) == value


def test_what_is_missing_is_missing_in_the_paper():
    holes = {
        (table.number, name, table.columns[at].name)
        for table in TABLES
        for name, values in table.rows.items()
        for at, value in enumerate(values)
        if value is None
    }
    with_dape = {"OSEDiff", "ReFIR (SeeSR)", "SeeSR"}
    without = {("5", n, "and of DAPE (M)") for n in published("5").rows if n not in with_dape}
    assert holes == without | {("5", "CoSeR", "TFLOPs")}


# What the text says of the tables; the bold type of their best numbers was lost.


def test_it_is_the_best_on_both_real_sets_among_all_metrics():  # section 4.2
    table = published("1")
    assert table.sets == ("vivoLive144", "iPhoneLive90")
    assert all(best_rows(table, at) == [OURS] for at in range(len(table.columns)))


def test_on_synthetic_pairs_its_psnr_alone_is_lower():  # section 4.2
    table = published("2")
    best = {one.name: best_rows(table, at) for at, one in enumerate(table.columns)}
    assert best.pop("PSNR") == ["C2-Matching"] and all(row == [OURS] for row in best.values())


def test_motion_guided_attention_outperforms_other_variants():  # section 4.3
    table = published("3")
    assert all(best_rows(table, at) == [FULL] for at in range(len(table.columns)))
    for at, one in enumerate(table.columns):
        values = [row[at] for row in table.rows.values()]  # the first is without a reference
        assert values[0] == (max if one.better == "lower" else min)(values), one.name


def test_on_synthetic_pairs_the_ablation_is_beaten_in_psnr_and_ssim_alone():  # appendix E.1
    table = published("7")
    best = {one.name: best_rows(table, at) for at, one in enumerate(table.columns)}
    assert "warp RefLatent" in best.pop("PSNR")[0] and "warp RefKV" in best.pop("SSIM")[0]
    assert all(row == [FULL] for row in best.values())


def test_its_parts_make_its_parameters():  # appendix B.3
    parts = published("4").rows
    total = sum(values[0] for values in parts.values())
    assert total == pytest.approx(value_of(published("5"), OURS, "parameters_m"))
    for millions, megabytes, _ in parts.values():  # 2 bytes each
        assert 2e6 * millions / 2**20 == pytest.approx(megabytes, abs=0.01)


def test_it_is_the_cheapest_of_those_with_several_steps():  # appendix B.3
    table = published("5")
    assert value_of(table, OURS, "tflops") == 98.91 and value_of(table, OURS, "seconds") == 1.89
    one_step = {"OSEDiff", "TSD-SR"}
    for cost in ("tflops", "seconds"):
        at = [one.metric for one in table.columns].index(cost)
        order = sorted(
            (values[at], name) for name, values in table.rows.items() if values[at] is not None
        )
        names = [name for _, name in order]
        assert {*names[:2]} == one_step and names[2] == OURS


def test_its_own_degradation_is_the_best_across_most_metrics():  # appendix E.3
    table = published("8")
    best = {one.name: best_rows(table, at) for at, one in enumerate(table.columns)}
    assert best.pop("NIQE_re") == ["SeeSR"]
    assert all(row == ["Customized Live Photo Degradation"] for row in best.values())


def test_more_noise_is_worse_and_other_estimators_hardly():  # appendix E.4
    table = published("9")
    noisy = [f"{OURS} + {share}% noise" for share in (10, 20, 40, 80, 100, 200)]
    for name in ("NIQE_re", "MUSIQ_re", "CLIP-Q", "DINO-Q"):
        at = column("9", name)
        values = [table.rows[row][at] for row in (OURS, *noisy)]
        assert values == sorted(values, reverse=table.columns[at].better == "higher"), name
        for other in ("SPyNet", "LiteFlowNet"):
            assert table.rows[f"{OURS} ({other})"][at] == pytest.approx(values[0], rel=0.06)
    assert best_rows(table, column("9", "DINO-Q")) == [f"{OURS} (SPyNet)", OURS]


def test_the_same_model_on_the_same_set_has_the_same_numbers_everywhere():
    vivo = published("1").on("vivoLive144")
    for number, row in (("3", FULL), ("8", "Customized Live Photo Degradation"), ("9", OURS)):
        for one, value in zip(published(number).columns, published(number).rows[row], strict=True):
            assert value == value_of(vivo, OURS, one.metric), (number, one.name)
    for one, value in zip(published("7").columns, published("7").rows[FULL], strict=True):
        assert value == value_of(published("2"), OURS, one.metric), one.name


def test_methods_are_called_alike():
    compared = list(published("1").rows)
    assert compared == list(published("2").rows)
    assert {*published("5").rows} < {*compared}
    assert list(published("3").rows) == list(published("7").rows)
    assert list(published("6").rows) == ["NIQE_re", "MUSIQ_re", "CLIPIQA_re", "MANIQA_re"]


# What others make of them


def test_a_value_by_row_and_metric():
    table = published("1")
    assert value_of(table, "TTSR", "DINO-Q") == 0.8304
    assert value_of(table, "TTSR", "DINO-Q", "iPhoneLive90") == 0.8689
    assert value_of(table, "TTSR", "PSNR-Y") is None and value_of(table, "nobody", "DINO-Q") is None


def test_tables_for_a_report_say_that_they_are_of_other_data():
    tables = as_report_tables(["1", "5"])
    assert [table["title"].split(":")[0] for table in tables] == [
        "Table 1 of the paper, vivoLive144", "Table 1 of the paper, iPhoneLive90",
        "Table 5 of the paper, NVIDIA H20",
    ]  # fmt: skip
    for table in tables:
        assert table["note"].startswith(OTHER_DATA)
        assert all(len(row) == len(table["columns"]) for row in table["rows"])
    assert tables[0]["rows"][-1] == [
        "LiveMoments", "0.0990", "0.0893", "0.0809", "0.0556", "0.9805", "0.9629",
    ]  # fmt: skip
    assert tables[2]["rows"][2] == ["CoSeR", "2655.52", "—", "—", "32.74", "48.83"]
    assert "14.6 GB" in tables[2]["note"]
    assert json.loads(json.dumps(tables)) == tables


def test_a_table_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match="no published table '10'; there are 1, 2, 3"):
        published("10")
