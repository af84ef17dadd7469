"""Synthetic runs for the report's tests; none of them measures anything."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from bench.report import write
from tests.report.synthetic import HOSTILE, FakeTables, accuracy_rows, arm, case, full_tables


@pytest.fixture
def full(tmp_path: Path) -> FakeTables:
    """A whole run."""
    folder = tmp_path / "run"
    folder.mkdir()
    return full_tables(folder)


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> FakeTables:
    """A whole run whose report is written; only to be read."""
    folder = tmp_path_factory.mktemp("shared") / "run"
    folder.mkdir()
    tables = full_tables(folder)
    write(tables)
    return tables


@pytest.fixture
def hostile(full: FakeTables) -> FakeTables:
    """The same with a plug-in that has a hostile name, and a second one with awkward characters."""
    rows = [case(HOSTILE, "residual", f, 5.0 + f) for f in (1 / 8, 1.0)]
    rows += [case("_a$b$\n\u4e2d\U0001f600" + "x" * 60, "residual", f, 7.0 + f) for f in (1 / 8, 1.0)]
    trained = pd.DataFrame([*accuracy_rows(), arm("residual", 1 / 8, (89.0, 80.0, 75.0), strategy=HOSTILE)])
    failures = pd.DataFrame([{"kind": "latency", "id": HOSTILE, "status": "failed", "reason": f"</script>{HOSTILE}"}])
    claims = [{**claim, "finding": HOSTILE, "why": HOSTILE} for claim in full.claims]
    latency = pd.concat([full.latency, pd.DataFrame(rows)], ignore_index=True)
    return replace(
        full,
        header={**full.header, "title": HOSTILE, "command": f"run_bench.py {HOSTILE}"},
        latency=latency,
        accuracy=trained,
        failures=failures,
        claims=claims,
    )
