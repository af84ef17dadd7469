"""A panel in a deployment runtime: what it cannot run costs itself only, and what it cannot be is skipped."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.measure.latency.campaign import Campaign, failed_while_measured
from bench.models import runtimes
from bench.plugins.discovery import strategy_files
from bench.spec.axes import parse_fraction
from bench.spec.cases import BASELINE_VARIANT, Case, Panel, Variant
from bench.spec.settings import Latency
from bench.store.records import Record
from tests.models.runtimes.small import BRANCHES, FROZEN

PANEL = Panel("resnet18", "cpu", "onnxruntime", "fp32", "nchw", 1, 2, 32, 1)
SETTINGS = Latency(min_replicates=1, max_replicates=1, max_superblocks=2, largest_copy_mib=1)


def cases(panel: Panel, *names: str) -> list[Case]:
    found = [Case(BASELINE_VARIANT, panel), Case(BASELINE_VARIANT, panel, aa=True)]
    return found + [Case(Variant(name, parse_fraction("1/4"), "residual", "bidirectional"), panel) for name in names]


def test_what_a_runtime_cannot_run_costs_itself_only(tmp_path: Path) -> None:
    if reason := runtimes.why_not(PANEL.runtime, PANEL.device):
        pytest.skip(reason)
    for name, code in (("frozen", FROZEN), ("branches", BRANCHES)):
        (tmp_path / f"{name}.py").write_text(code)
    exports = tmp_path / "exports"
    exports.mkdir()
    own = cases(PANEL, "frozen", "branches")
    campaign = Campaign(PANEL, own, strategy_files(tmp_path), SETTINGS, 300.0, 0, exports=exports)
    records: list[Record] = [*campaign.count(), *(r for records in campaign.replicates() for r in records)]
    failed = {record.case["strategy"]: record.reason or "" for record in records if record.status == "failed"}
    assert set(failed) == {"frozen", "branches"}
    assert "deviates from eager by 0." in failed["frozen"]
    assert "cannot be exported" in failed["branches"] and "\n" not in failed["branches"]
    assert not failed_while_measured(records)  # they may run in eager
    measured = {(r.case["strategy"], r.case["aa"]) for r in records if r.kind == "latency" and r.status == "ok"}
    assert measured == {("no_shift", False), ("no_shift", True)}
    statics = {r.case["strategy"]: r.samples["executed"] for r in records if r.kind == "static"}
    assert statics["no_shift"]["Conv"][0] == 20
    assert len(list(exports.glob("*.onnx"))) == 2  # the baseline's, which its twin shares, and the frozen one


@pytest.mark.parametrize(
    ("change", "words"), [({"dtype": "fp16"}, "not in fp16"), ({"runtime": "openvino"}, "pip install")]
)
def test_a_panel_that_cannot_be_is_skipped_with_the_reason(
    change: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtimes, "find_spec", lambda name: None if name == "openvino" else object())
    panel = replace(PANEL, **change)
    campaign = Campaign(panel, cases(panel, "copy_shift"), strategy_files(), SETTINGS, 60.0, 0)
    skipped = list(campaign.skip_where_it_cannot_run())
    assert [record.status for record in skipped] == ["skipped"] * 3
    assert all(words in (record.reason or "") for record in skipped)
    assert not list(campaign.count()) and not list(campaign.replicates())
