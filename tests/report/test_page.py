"""The page holds everything, trusts no name, needs no network and does not need torch."""

import base64
import hashlib
import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.analysis.run import Analysis
from bench.report.page import exhibit, findings, page, write, write_gallery
from bench.report.selection import panel_label
from bench.report.tables import sheets
from tests.report.synthetic import HOSTILE, case, empty_run, latency_rows, timed_run, verdict

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
        self.handle_startendtag(tag, attrs)
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


@pytest.fixture(scope="module")
def text(report: Analysis) -> str:
    return (report.folder / "report.html").read_text(encoding="utf-8")


def cells(run: Analysis, table: str) -> list[dict[str, str]]:
    sheet = sheets(run)[table]
    assert sheet
    titles = [column.title for column in sheet.columns]
    assert len(set(titles)) == len(titles)
    return [dict(zip(titles, (cell.text for cell in own), strict=True)) for _, own in sheet.lines]


def test_a_full_report(report: Analysis, text: str) -> None:
    parsed = Page(text)
    words = " ".join(parsed.texts)
    for expected in (
        "+11.4 [10.8, 12.0]",
        "11.4 % [10.8, 12.0]",
        "no_shift (A/A twin)",
        report.header["command"],
        "Intel(R) Xeon(R) Platinum 8481C",
        "torch 2.11.0",
        "9 min 56 s",
        "needs CUDA",
        "foreign CPU in 5, steal in 3",
        "latency.target_half_width_pp",
        "How to cite",
        "overhead [%] +2.00, slot [ms] 372.40",
        "joint [%] 87.1",
    ):
        assert expected in words
    assert {claim.verdict for claim in report.claims} - {"not measured"} <= set(parsed.texts)
    assert "Not measured here" in words
    assert words.count("RuntimeError: no room") == 2
    assert parsed.values("class").count("failed") == 2
    assert "nan" not in re.findall(r"\w+", words)
    drawn = list((report.folder / "figures").glob("*.svg"))
    assert len(drawn) == len(parsed.values("alt")) >= 4
    assert all(path.with_suffix(".png").is_file() for path in drawn)
    assert not list(report.folder.rglob("*.new"))


def test_tables_have_what_the_contract_names(full: Analysis) -> None:
    wanted = {
        "latency": {"overhead [%]", "latency [ms]", "extra traffic [MB]", "predicted [%]", "mde [pp]", "status"},
        "online": {
            "overhead [%]",
            "frame [ms]",
            "p95 [ms]",
            "p99 [ms]",
            "deadlines missed [%]",
            "cache of a stream [MB]",
        },
        "accuracy": {"joint [%]", "joint against no shift [pp]", "spatial [%]", "temporal [%]", "trained otherwise"},
        "detection": {"mAP [%]", "mAP fast against frame by frame [pp]", "overhead of a frame [%]", "form"},
        "controls": {"comparison", "measured [pp or %]", "answer", "mde [pp]", "reference"},
        "quality": {"disturbed [%]", "why", "left out", "settings in force"},
    }
    for table, titles in wanted.items():
        assert titles <= set(cells(full, table)[0]), table
    best = cells(full, "accuracy")[1]
    assert best["joint against no shift [pp]"] == "+63.4 [62.1, 64.7], p < 0.001"
    assert {row["trained otherwise"] for row in cells(full, "accuracy")} == {"", "objective spatial", "lr factor 0.5"}
    assert cells(full, "controls")[0]["measured [pp or %]"] == "25.1 % [24.6, 25.6]"
    sheet = sheets(full)["latency"]
    assert sheet and sheet.same.startswith("direction bidirectional, backbone resnet50, device cpu")
    assert "processes 8" in sheet.same
    assert not any(sheets(empty_run(full.folder)).values())


def test_cycles_clocks_and_both_estimates_have_columns(full: Analysis) -> None:
    gpu = {"device": "cuda", "sm_mhz": 1755.0, "latency_ms": 6.77, "flags": "estimates_differ"}
    cycles = {"overhead_cycles_pct": 10.8, "overhead_cycles_ci_low_pct": 10.2, "overhead_cycles_ci_high_pct": 11.4}
    rows = [*latency_rows(), case("copy_shift", "residual", 0.125, 11.0, **gpu, **cycles)]
    shown = cells(timed_run(full, rows), "latency")
    copy = shown[-1]
    assert copy["overhead in cycles [%]"] == "+10.8 [10.2, 11.4]"
    assert copy["latency [million cycles]"] == "11.88"  # 6.77 ms at 1755 MHz
    assert copy["nothing left out [%]"] == "+11.1 [10.5, 11.7]"
    assert {row["nothing left out [%]"] for row in shown[:-1]} == {""}
    assert "peak resident [MB]" not in copy


def test_ids_are_unique_and_references_resolve(text: str) -> None:
    parsed = Page(text)
    ids = parsed.values("id")
    assert len(ids) == len(set(ids))
    assert {value[1:] for value in parsed.values("href") if value.startswith("#")} <= set(ids)


def test_parts_of_figures_say_what_they_show(report: Analysis) -> None:
    """By their ids, which the page's filter reads: marks and intervals a mechanism, a plot its panel."""
    drawn = (report.folder / "figures" / "latency_overhead.svg").read_text(encoding="utf-8")
    names = [part.get("id", "") for part in ElementTree.fromstring(drawn).iter()]
    parts = [json.loads(name) for name in names if name.startswith("{")]
    strategies = [part["strategy"] for part in parts if "strategy" in part]
    assert set(strategies) == {*report.latency["strategy"]} - {"no_shift"}
    assert strategies.count("copy_shift") > 2  # each mechanism's line, caps and bars
    assert [part["panels"] for part in parts if "panels" in part] == [[panel_label(report.latency.iloc[0].to_dict())]]


def test_no_network_and_one_script(text: str) -> None:
    parsed = Page(text)
    assert all(value.startswith("#") for value in parsed.values("href"))
    assert all(value.startswith("data:image/svg+xml,") for value in parsed.values("src"))
    assert "default-src 'none'" in text and "@import" not in text
    assert "http" not in re.sub(r'src="[^"]*"', "", text).replace("http-equiv", "")  # a picture fetches nothing
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL)
    assert script and parsed.tags.count("script") == 1
    assert base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode() in text


def test_a_hostile_name_stays_text(hostile: Analysis) -> None:
    text = (hostile.folder / "report.html").read_text(encoding="utf-8")
    parsed = Page(text)
    assert HOSTILE in " ".join(parsed.texts)
    assert "<img src=x" not in text and "x" not in parsed.values("src")
    assert not [name for name, _ in parsed.attributes if name.startswith("on")]
    assert parsed.tags.count("script") == 1
    assert all("<img" not in path.read_text(encoding="utf-8") for path in (hostile.folder / "figures").glob("*.svg"))


def test_damaged_lines_are_said(full: Analysis) -> None:
    text = page(replace(full, damaged=["line 4: <b>", "line 9: it ends"], claims=[]), ())
    assert "2 lines of the journal are damaged" in text and "line 4: &lt;b&gt;" in text
    assert 'id="findings"' not in text


def test_an_empty_run_and_stale_figures(tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    stale, foreign = (tmp_path / "figures" / name for name in ("pareto.svg", "mine.svg"))
    stale.touch()
    foreign.touch()
    path = write(empty_run(tmp_path))
    assert "Nothing was measured" in path.read_text(encoding="utf-8")
    assert not stale.exists() and foreign.exists()


def test_the_same_run_gives_the_same_page(report: Analysis, text: str, full: Analysis) -> None:
    same = write(full).read_text(encoding="utf-8")
    assert same == text


def test_the_gallery_shows_where_a_finding_held(full: Analysis, hostile: Analysis, tmp_path: Path) -> None:
    claims = [verdict("naive-cpu", "reproduced", subject) for subject in ("copy_shift", "concat_shift")]
    one = exhibit(replace(full, claims=[*claims, verdict("naive-gpu", "not measured")]))
    other = exhibit(replace(hostile, folder=tmp_path / "other", claims=[verdict("naive-cpu", "not reproduced")]))
    held = {"reproduced": {"run": ["copy_shift", "concat_shift"]}, "not reproduced": {"other": []}}
    assert findings([one, other]) == {("naive-cpu", "the finding called naive-cpu"): held}
    nothing = exhibit(empty_run(tmp_path / "nothing"))
    text = write_gallery(tmp_path, [one, other, nothing], [("broken", HOSTILE)]).read_text(encoding="utf-8")
    words = " ".join(Page(text).texts)
    row = next(row for row in text.split("<tr>") if '<a href="#run">' in row and "Xeon" in row)
    assert ">certified<" in row and "2 reproduced" in row
    assert "3 runs" in words and "buffer_shift" in words and HOSTILE in words and "<img src=x" not in text
    assert "No finding judged" in words and "Control certified: two identical networks" in words
    assert "Control over all runs undecided: of 2 settings 2 certified, 0 undecided, 0 off." in words


def test_neither_torch_nor_a_window_system_is_imported() -> None:
    names = ("torch", "torchvision", "strategies", "matplotlib.pyplot", "tkinter")
    code = f"import sys, bench.report.page; print([m for m in {names} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
