"""The report as a whole: a page that stands alone, and its text, for runs of every kind."""

import re
from dataclasses import replace

import pytest
from support.report_runs import (
    CUBIC,
    FID,
    LPIPS,
    NIQE,
    OURS,
    PSNR,
    Page,
    image,
    make_run,
    only,
    score,
    write_pictures,
)

from livemoments.errors import OutputError
from livemoments.lab.benchmark.results import MethodInfo, MetricInfo
from livemoments.lab.report.markup import Markup, tag
from livemoments.lab.report.write import write_report

NASTY = "</script><img src=x onerror=\"alert('1')\"> & | _im*age_ \x00 Straße 日本 \udcff"


def report(run, folder):
    """Both files, read back."""
    page, text = write_report(run, folder, folder)
    return Page(page.read_text("utf-8")), text.read_text("utf-8")


def cells(page_text, row):
    """The inner HTML of a row of the first table, by the name it begins with."""
    table = re.search(r"<table.*?</table>", page_text, re.S)[0]
    line = re.search(rf"<tr[^>]*><th[^>]*>{row}</th>(.*?)</tr>", table, re.S)[1]
    return re.findall(r"<td[^>]*>(.*?)</td>", line)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A usual run with pictures, and the two files made of it."""
    folder = tmp_path_factory.mktemp("run")
    run = make_run(images=3)
    write_pictures(run, folder)
    page, text = write_report(run, folder, folder)
    return run, folder, page.read_text("utf-8"), text.read_text("utf-8")


def test_the_page_is_whole_and_stands_alone(written):
    text = written[2]
    page = Page(text)
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(set(ids)) == len(ids)
    assert not re.search(r"(https?:|//)[\w.]+\.\w", text), "nothing from outside"
    assert not page.all("link") and not page.all("iframe")
    assert all(a["src"].startswith("data:image/") for a in page.all("img"))
    assert not any("src" in a for a in page.all("script"))
    policy = next(a for a in page.all("meta") if a.get("http-equiv"))
    assert policy["content"].startswith("default-src 'none'")


def test_the_page_can_be_read_by_everyone(written):
    page = Page(written[2])
    assert page.all("html")[0]["lang"] == "en"
    assert all(a["alt"] for a in page.all("img"))
    assert len(page.all("caption")) == len(page.all("table"))
    levels = [int(name[1]) for name, _ in page.elements if re.fullmatch(r"h[1-6]", name)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b <= a + 1 for a, b in zip(levels, levels[1:], strict=False)), levels
    plots = [a for a in page.all("svg") if "aria-hidden" not in a]
    assert plots and all(a["role"] == "img" for a in plots)
    targets = {a["href"][1:] for a in page.all("a")}
    assert targets <= {a["id"] for _, a in page.elements if "id" in a}
    for needed in ("prefers-color-scheme: dark", "prefers-reduced-motion", "@media print"):
        assert needed in written[2]


def test_the_parts_come_in_order(written):
    found = re.findall(r'<section id="(\w+)">', written[2])
    assert found == ["results", "plots", "paired", "pictures", "images", "made"]


def test_the_same_run_gives_the_same_bytes(written, tmp_path):
    run, folder, page, text = written
    again = write_report(run, folder, folder)
    assert [path.read_text("utf-8") for path in again] == [page, text]
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == [
        "report.html", "report.md",
    ]  # fmt: skip


def test_best_and_second_best_are_marked_by_direction(written):
    ours, gan, cubic = (cells(written[2], n) for n in ("livemoments", "Real-ESRGAN", "Bicubic"))
    assert '<strong class="number" title="best">32.00' in ours[0]  # higher is better
    assert '<u class="number" title="second best">30.00' in gan[0]
    assert '<strong class="number" title="best">0.1100' in ours[1]  # lower is better
    assert '<u class="number" title="second best">0.2100' in gan[1]
    assert not any("strong" in each or "<u" in each for each in cubic)
    assert "<small>0.1000 to 0.1200</small>" in ours[1]


def test_names_of_any_characters_are_shown_as_they_are(tmp_path):
    run = make_run(images=1)
    named = replace(
        run,
        title=NASTY, set_name=NASTY, command=NASTY, environment={NASTY: NASTY}, notes=[NASTY],
        methods=[replace(CUBIC, label=NASTY, detail=NASTY), OURS,
                 MethodInfo(name="x", label=NASTY, failed=NASTY)],
        metrics=[PSNR, replace(LPIPS, missing=NASTY)],
        images=[replace(run.images[0], name=NASTY, source=NASTY)],
        scores=[replace(s, image=NASTY, messages={"PSNR-Y": NASTY}) for s in run.scores],
        published=[{"title": NASTY, "columns": [NASTY], "rows": [[NASTY, None]], "note": NASTY}],
    )  # fmt: skip
    page, text = report(named, tmp_path)
    assert "alert('1')" in page.text and "Straße 日本" in page.text
    assert all(set(a) <= {"src", "alt", "width", "height"} for a in page.all("img"))
    assert len(page.all("script")) == 1 and "\x00" not in page.text
    outside = re.sub(r"```.*?```", "", text, flags=re.S)
    assert "Straße 日本" in text and not re.search(r"(?<!\\)[<>]img", outside)
    for table in re.findall(r"(?:^\|.*\n)+", outside, re.M):
        bars = [len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()]
        assert len(set(bars)) == 1, table


def test_missing_values_are_dashes_that_say_why(tmp_path):
    run = make_run(images=2)
    scores = [
        replace(s, values={**s.values, "NIQE_re": None}, messages={"NIQE_re": "too flat"})
        if s.method == "gan" else s
        for s in run.scores
    ]  # fmt: skip
    page, text = report(replace(run, scores=scores), tmp_path)
    dashes = [a["title"] for a in page.all("abbr")]
    assert dashes.count("too flat") == 3  # in the means, and for either image
    assert "MUSIQ_re" in page.text and "needs pyiqa" in page.text
    assert "- MUSIQ\\_re: needs pyiqa" in text


def test_a_mean_of_fewer_images_is_said_to_be_and_not_ranked(tmp_path):
    run = make_run(images=3)
    scores = [s for s in run.scores if (s.method, s.image) != ("livemoments", "image 0")]
    write_report(replace(run, scores=scores), tmp_path, tmp_path)
    ours = cells((tmp_path / "report.html").read_text("utf-8"), "livemoments")
    assert "mean of 2 of 3 images" in ours[0] and "strong" not in ours[0]


def test_failed_methods_give_their_reason_and_no_row(tmp_path):
    run = make_run(images=1)
    failed = MethodInfo(name="supir", label="SUPIR", failed="needs 24 GB")
    page, text = report(replace(run, methods=[*run.methods, failed]), tmp_path)
    assert "SUPIR needs 24 GB" in page.text and "1 method failed" in page.text
    assert "- SUPIR: needs 24 GB" in text and "| SUPIR" not in text


def test_pictures_that_are_not_there_leave_their_reason(tmp_path):
    run = make_run(images=1)
    write_pictures(run, tmp_path)
    (tmp_path / "gan/image 0.png").unlink()
    (tmp_path / "bicubic/image 0.png").write_bytes(b"\x89PNG no picture")
    scores = [replace(s, picture="") if s.method == "livemoments" else s for s in run.scores]
    page, _ = report(replace(run, scores=scores), tmp_path)
    assert "no picture: gan/image 0.png: no such file" in page.text
    assert str(tmp_path) not in page.text
    assert "its picture was not stored" in page.text
    assert re.search(r"image 0\.png: .*(damaged|not a picture)", page.text)


def test_a_run_without_any_picture_still_has_a_page(tmp_path):
    page, _ = report(make_run(images=2), tmp_path)
    assert not page.all("img") and page.text.count("no picture: ") == 12


@pytest.mark.parametrize("kind", ["one image", "one method", "no truth", "no values", "no methods",
                                  "no images"])  # fmt: skip
def test_small_and_odd_runs(kind, tmp_path):
    run = make_run(images=1 if kind == "one image" else 3)
    if kind == "one method":
        run = only(run, "gan")
    if kind == "no truth":
        scores = [replace(s, values={"NIQE_re": s.values["NIQE_re"]}) for s in run.scores]
        away = [replace(m, missing="there is no truth") for m in (PSNR, LPIPS)]
        images = [image(each.name, truth=False) for each in run.images]
        run = replace(run, metrics=[*away, NIQE], scores=scores, images=images)
    if kind == "no values":
        run = replace(run, scores=[replace(s, values=dict.fromkeys(s.values), seconds=None)
                                   for s in run.scores])  # fmt: skip
    if kind == "no methods":
        run = replace(run, methods=[replace(m, failed="broke") for m in run.methods], scores=[])
    if kind == "no images":
        run = replace(run, images=[], scores=[])
    write_pictures(run, tmp_path)
    page, text = report(run, tmp_path)
    expected = {
        "one image": "too few images to tell", "one method": "stands alone",
        "no truth": "there is no truth", "no values": "No metric has a value",
        "no methods": "No method gave a picture", "no images": "No metric has a value",
    }  # fmt: skip
    assert expected[kind] in page.text and expected[kind] in text


def test_many_images_lengthen_only_their_table(tmp_path):
    few, many = tmp_path / "few", tmp_path / "many"
    lengths = {}
    for folder, count in ((few, 100), (many, 300)):
        folder.mkdir()
        run = make_run(images=count, metrics=[PSNR, LPIPS])
        page, _ = report(run, folder)
        text = (folder / "report.html").read_text("utf-8")
        section = re.search(r'<section id="images">.*?</section>', text, re.S)[0]
        lengths[folder] = (len(text) - len(section), len(section))
        assert len(page.all("article")) == 12
    assert abs(lengths[many][0] - lengths[few][0]) < 500
    assert 2.8 < lengths[many][1] / lengths[few][1] < 3.2


def test_metrics_of_the_set_stand_in_the_table_but_in_no_comparison(tmp_path):
    run = make_run(images=3, metrics=[PSNR, FID],
                   set_scores={"gan": {"patch-FID": 31.5}, "livemoments": {"patch-FID": 22.5},
                               "bicubic": {"patch-FID": None}})  # fmt: skip
    page, text = report(run, tmp_path)
    assert "by one number for the whole set" in page.text
    assert "| **22.50** |" in text and "| livemoments | patch" not in text


def test_published_tables_are_marked(tmp_path):
    table = {"title": "Table 2", "columns": ["", "PSNR"], "rows": [["SeeSR", "27.25"]], "note": "n"}
    page, _ = report(make_run(images=1, published=[table]), tmp_path)
    assert "Published, on other data: not comparable directly. Table 2" in page.text


def test_an_explained_value_says_so(tmp_path):
    run = make_run(images=1)
    noted = [score("gan", "image 0", messages={"PSNR-Y": "of the left half"}, PSNR_Y=20.0)]
    page, _ = report(replace(run, scores=noted), tmp_path)
    assert "of the left half" in [a.get("title") for a in page.all("td")]


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(OutputError, match="does not exist"):
        write_report(make_run(images=1), tmp_path / "gone", tmp_path)


def test_other_groups_of_metrics_have_columns_too(tmp_path):
    odd = MetricInfo(name="speed of light", better="higher", against="the sky")
    run = make_run(images=1, metrics=[odd])
    page, _ = report(run, tmp_path)
    assert "against the sky" in page.text.lower()


def test_markup_escapes_what_is_not_markup():
    assert tag("b", "<i>", Markup("<u></u>"), title='a"b') == (
        '<b title="a&quot;b">&lt;i&gt;<u></u></b>'
    )
    assert tag("img", alt="", data_sort=True, hidden=False, width=None) == '<img alt="" data-sort>'
    assert tag("td", 1, None, 0) == "<td>10</td>"
