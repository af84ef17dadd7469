"""The page holds everything, trusts no name, needs no network and does not need torch."""

import base64
import hashlib
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from bench.report import write
from bench.report.figures import FIGURES
from bench.report.html import page
from bench.report.sheets import Sheet, accuracy_sheet, controls_sheet, latency_sheet
from tests.report.synthetic import HOSTILE, FakeTables
from tests.report.synthetic_accuracy import accuracy_rows, control_rows, old_rows, study_rows
from tests.report.synthetic_latency import latency_rows, on_gpu

VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """Tags, ids, references and text of a page; fails on tags that are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.attributes if key == name]


def read(tables: FakeTables) -> str:
    return (tables.folder / "report.html").read_text(encoding="utf-8")


def written(tables: FakeTables) -> str:
    assert write(tables) == tables.folder / "report.html"
    return read(tables)


def test_a_full_report(report: FakeTables) -> None:
    text = read(report)
    parsed = Page(text)
    words = " ".join(parsed.texts)
    assert "Take buffer_shift, residual, 1/8 of the channels" in words
    assert "+11.4 [11.0, 11.8]" in words
    assert "11.4 % [10.8, 12.0]" in words
    for claim in report.claims:
        assert claim["verdict"] in parsed.texts
    assert "no_shift (A/A twin)" in words
    assert report.header["command"] in words
    assert "Intel(R) Xeon(R) Platinum 8481C" in words
    assert "torch 2.11.0, torchvision 0.26.0" in words
    assert "9 min 56 s" in words
    assert words.count("RuntimeError: no room") == 2
    assert "needs CUDA" in words
    drawn = [name for name in FIGURES if name not in ("overhead_by_axis", "overhead_by_runtime")]  # it has one panel
    assert parsed.tags.count("svg") == len(drawn)
    assert "How each setting was measured" in words
    assert "foreign CPU in 5, steal in 3" in words
    assert "lower quartile" in words
    assert "latency [million cycles]" not in words
    assert "Controls, every comparison" in words
    assert "training, validation and test (60 % / 15 % / 25 %)" in words
    assert "What do the controls show?" in parsed.texts
    assert "Frame by frame the detector has a mean average precision of 66.0 % [64.9, 67.1]" in words
    assert "fast ones +3.6 points [2.7, 4.5]" in words
    assert not re.search(r"\bnan\b", words)
    for name in drawn:
        assert (report.folder / "figures" / f"{name}.svg").is_file()
        assert (report.folder / "figures" / f"{name}.png").is_file()
    assert not list(report.folder.rglob("*.new"))


def test_cycles_clocks_and_both_estimates_have_columns(full: FakeTables) -> None:
    rows = [row | ({"flags": "estimates_differ"} if row["strategy"] == "copy_shift" else {}) for row in latency_rows()]
    sheet = latency_sheet(pd.DataFrame(on_gpu(rows)))
    shown = cells(sheet)
    titles = list(shown[0])
    copy = next(row for row in shown if (row["strategy"], row["fraction"]) == ("copy_shift", "1/8"))
    assert copy["overhead in cycles [%]"] == "+10.8 [10.2, 11.4]"
    assert copy["SM clock [MHz]"] == "1755"
    assert copy["latency [million cycles]"] == "11.88"  # 6.1 ms × 1.11 at 1755 MHz
    assert copy["nothing left out [%]"] == "+11.1 [10.4, 11.8]"
    assert {row["nothing left out [%]"] for row in shown if row["strategy"] != "copy_shift"} == {""}
    assert "peak resident [MB]" not in titles


def cells(sheet: Sheet | None) -> list[dict[str, str]]:
    assert sheet
    titles = [title for title, _ in sheet.titles]
    assert len(set(titles)) == len(titles)
    return [dict(zip(titles, (cell.text for cell in line.cells), strict=True)) for line in sheet.lines]


def test_accuracy_has_all_its_columns() -> None:
    frame = pd.DataFrame([*accuracy_rows(), *study_rows()])
    shown = cells(accuracy_sheet(frame))
    best = shown[1]
    assert best["joint against no shift [points]"] == "+63.4 [61.8, 65.0], p < 0.001"
    assert best["mixture [%]"] == "88.9 [87.6, 90.2]"
    assert best["would find in joint [points]"] == "2.3"
    assert best["bootstrap of joint [points]"] == "[61.3, 65.5]"
    assert (best["clip share [%]"], best["clips/s"], best["making clips [%]"]) == ("18", "243", "3.2")
    assert (best["spatial, shuffled [%]"], best["temporal, shuffled [%]"]) == ("90.3", "25.2")
    assert best["trained otherwise"] == ""
    assert {"objective spatial", "view one_frame", "lr factor 0.5, length factor 2", "cohort replication"} <= {
        row["trained otherwise"] for row in shown
    }
    assert {row["backbone"] for row in shown} == {"digits_resnet", "digits_bottleneck", "digits_r3d"}


def test_what_does_not_vary_or_is_not_known_has_no_column() -> None:
    sheet = accuracy_sheet(pd.DataFrame(old_rows()))
    assert not {"trained otherwise", "dataset", "direction", "mixture [%]", "clip share [%]"} & set(cells(sheet)[0])
    assert sheet
    assert sheet.same.startswith("direction bidirectional, dataset ring_digits, backbone digits_resnet; seeds 5")


def test_controls_are_listed() -> None:
    shown = cells(controls_sheet(pd.DataFrame(control_rows())))
    assert len(shown) == len(control_rows())
    assert shown[0] == {
        "control": "One frame only",
        "held against each other": "one-frame network against chance",
        "of what": "the order",
        "arm or schedule": "no_shift",
        "measured": "25.1 % [24.6, 25.6]",
        "held against": "25 %",
        "answer": "not separated",
        "would find [points]": "0.7",
        "seeds": "5",
    }
    assert controls_sheet(pd.DataFrame()) is None


def test_failed_rows_stay_visible(report: FakeTables) -> None:
    assert Page(read(report)).values("class").count("failed") == 2


def test_ids_are_unique_and_references_resolve(report: FakeTables) -> None:
    text = read(report)
    parsed = Page(text)
    ids = parsed.values("id")
    assert len(ids) == len(set(ids))
    inner = [value[1:] for value in parsed.values("href") if value.startswith("#")]
    assert set(inner) | set(re.findall(r"url\(#([^)]+)\)", text)) <= set(ids)


def test_no_network(report: FakeTables) -> None:
    text = read(report)
    parsed = Page(text)
    assert all(value.startswith(("#", "data:image/png;base64,")) for value in parsed.values("href"))
    assert parsed.values("src") == []
    assert "default-src 'none'" in text
    assert "@import" not in text
    assert "http" not in text.replace("http-equiv", "")


def test_a_hostile_name_stays_text(hostile: FakeTables) -> None:
    text = written(hostile)
    parsed = Page(text)
    assert HOSTILE in text.replace("&lt;", "<").replace("&gt;", ">")
    assert "<img" not in text
    assert "img" not in parsed.tags
    assert not [name for name, _ in parsed.attributes if name.startswith("on")]
    assert parsed.tags.count("script") == 1
    for path in (hostile.folder / "figures").glob("*.svg"):
        assert "<img" not in path.read_text(encoding="utf-8")


def test_the_policy_names_the_only_script(report: FakeTables) -> None:
    text = read(report)
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL)
    assert script
    assert base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode() in text


@pytest.mark.parametrize("suspect", [None, "The A/A control is off by 1.2 points."])
def test_partial_and_suspect_runs(full: FakeTables, suspect: str | None) -> None:
    tables = replace(full, accuracy=pd.DataFrame(accuracy_rows(seeds=1)), claims=[], suspect=suspect)
    text = page(tables, ())
    assert ("This run is suspect" in text) == (suspect is not None)
    assert "(one seed: no interval)" in text
    assert 'id="findings"' not in text


def test_an_empty_run_and_stale_figures(tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    stale, foreign = (tmp_path / "figures" / name for name in ("pareto.svg", "mine.svg"))
    stale.touch()
    foreign.touch()
    assert "this run has no latency cases" in written(FakeTables(tmp_path))
    assert not stale.exists()
    assert foreign.exists()


def test_the_same_tables_give_the_same_files(report: FakeTables, full: FakeTables) -> None:
    write(full)
    first, second = (
        {path.relative_to(tables.folder): path.read_bytes() for path in tables.folder.rglob("*.*") if path.is_file()}
        for tables in (report, full)
    )
    assert first.keys() == second.keys()
    assert [path for path in first if first[path] != second[path]] == []


def test_neither_torch_nor_a_window_system_is_imported() -> None:
    code = (
        "import sys, bench.report; "
        "print([m for m in ('torch', 'torchvision', 'strategies', 'matplotlib.pyplot', 'tkinter') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
