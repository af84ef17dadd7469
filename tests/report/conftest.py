"""Synthetic runs for the report's tests; none of them measures anything."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from bench.report import write
from tests.report.synthetic import HOSTILE, FakeTables, full_tables
from tests.report.synthetic_accuracy import accuracy_rows, arm, control, control_rows
from tests.report.synthetic_latency import case


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> FakeTables:
    """A whole run; its frames are made once, and no test writes into them."""
    return full_tables(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def full(whole: FakeTables, tmp_path: Path) -> FakeTables:
    """A whole run in a folder of its own."""
    folder = tmp_path / "run"
    folder.mkdir()
    return replace(whole, folder=folder)


@pytest.fixture(scope="session")
def report(whole: FakeTables, tmp_path_factory: pytest.TempPathFactory) -> FakeTables:
    """A whole run whose report is written; only to be read."""
    folder = tmp_path_factory.mktemp("shared") / "run"
    folder.mkdir()
    tables = replace(whole, folder=folder)
    write(tables)
    return tables


@pytest.fixture
def hostile(full: FakeTables) -> FakeTables:
    """The same with a plug-in that has a hostile name, and a second one with awkward characters."""
    rows = [case(HOSTILE, "residual", f, 5.0 + f) for f in (1 / 8, 1.0)]
    rows += [case("_a$b$\n\u4e2d\U0001f600" + "x" * 60, "residual", f, 7.0 + f) for f in (1 / 8, 1.0)]
    trained = pd.DataFrame([*accuracy_rows(), arm("residual", 1 / 8, (89.0, 80.0, 75.0), strategy=HOSTILE)])
    failures = pd.DataFrame([{"kind": "latency", "id": HOSTILE, "status": "failed", "reason": f"</script>{HOSTILE}"}])
    controls = [*control_rows(), control("mixture", "mixture: against network without a shift", HOSTILE, 3.0)]
    claims = [{**claim, "finding": HOSTILE, "why": HOSTILE} for claim in full.claims]
    latency = pd.concat([full.latency, pd.DataFrame(rows)], ignore_index=True)
    return replace(
        full,
        header={**full.header, "title": HOSTILE, "command": f"run_bench.py {HOSTILE}"},
        latency=latency,
        accuracy=trained,
        controls=pd.DataFrame(controls),
        failures=failures,
        claims=claims,
        superblocks=pd.DataFrame(),  # what names no strategy is not drawn again
        bandwidth=pd.DataFrame(),
        curves=pd.DataFrame(),
    )
