"""The progress of a run: the time left, on a terminal or in lines, and silence where it is asked for."""

import pytest

from bench.system import progress
from bench.system.progress import Reporter, Shares


@pytest.mark.parametrize("quiet", [False, True])
def test_progress_is_a_line_where_there_is_no_terminal(quiet: bool, capsys: pytest.CaptureFixture[str]) -> None:
    reporter = Reporter(quiet)
    reporter.expect("latency", 600)
    reporter.expect("accuracy", 3600)
    reporter.advance("latency", 0.5, "[3 of 20]")
    reporter.advance("latency", 0.6)  # too soon for another line
    reporter.say("a [note]")
    reporter.close()
    shown = capsys.readouterr().err
    assert shown == ("" if quiet else "  7 %  1:05:00 left  latency: [3 of 20]\na [note]\n")


def test_a_terminal_gets_a_bar_that_goes_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "40"}.items():
        monkeypatch.setenv(name, value)
    reporter = Reporter()
    reporter.expect("latency", 600)
    reporter.advance("latency", 0.5, "a very long description of what is done")
    reporter.close()
    shown = capsys.readouterr().err
    assert "0:05:00 left" in shown and "latency: " in shown and "what is done" not in shown


def test_trainings_side_by_side_share_a_section(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []

    class Told(Reporter):
        def expect(self, section: str, seconds: float) -> None:
            told.append(seconds)

        def advance(self, section: str, share: float, doing: str = "") -> None:
            told.append((share, doing))

    reporter, clock = Told(quiet=True), iter([100.0, 130.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    Shares("accuracy", {"a": 1.0, "b": 3.0}, reporter).report("a", 1.0)
    assert told == [120.0, (0.25, "1 of 2 trainings")]
