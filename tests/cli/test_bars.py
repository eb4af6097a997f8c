import io
import logging

import pytest

from livemoments.cli import bars as p


class Terminal(io.StringIO):
    def isatty(self):
        return True


def tell(report):
    """What restore reports: a stage of one, then tiles, then a stage of one again."""
    report("aligning", 0, 1)
    report("aligning", 1, 1)
    report("restoring", 0, 1)
    for tile in range(1, 5):
        report("restoring", tile, 4)
    report("restoring", 1, 1)


def test_elsewhere_one_line_begins_and_one_ends_a_stage(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(p.sys, "stderr", stream)
    with p.StageProgress() as report:
        tell(report)
    lines = stream.getvalue().splitlines()
    assert [line.split()[0].rstrip(":") for line in lines] == ["aligning"] * 2 + ["restoring"] * 2
    assert "\x1b" not in stream.getvalue()


def test_a_terminal_gets_bars_with_the_tiles(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(p.sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with p.StageProgress() as report:
        tell(report)
    shown = stream.getvalue()
    assert "restoring" in shown and "4/4" in shown and "left" in shown


def test_the_terminal_is_left_clean_on_ctrl_c(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(p.sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    with pytest.raises(KeyboardInterrupt), p.StageProgress() as report:
        report("restoring", 1, 4)
        raise KeyboardInterrupt
    assert stream.getvalue().endswith("\x1b[?25h"), "the cursor is shown again"


def test_stdout_is_not_touched(capsys):
    with p.StageProgress() as report:
        tell(report)
    assert capsys.readouterr().out == ""


def test_elsewhere_what_is_logged_stands_in_lines_of_its_own(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(p.sys, "stderr", stream)
    log = logging.getLogger("livemoments.lab.training.loop")
    with p.logged_lines():
        log.info("step %d", 3)
    log.info("step 4")
    assert stream.getvalue() == "step 3\n"


def test_beside_bars_nothing_is_logged(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(p.sys, "stderr", stream)
    with p.logged_lines():
        logging.getLogger("livemoments.lab.training.loop").info("step 3")
    assert stream.getvalue() == ""
