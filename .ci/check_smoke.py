"""Is the folder of a smoke run what the contract says? Exits with an assertion where it is not."""

import json
import sys
from pathlib import Path

import pandas as pd

folder = Path(sys.argv[1])
missing = [
    name
    for name in (
        "run.json",
        "records.jsonl",
        "claims.json",
        "report.html",
        *(
            f"tables/{name}.{kind}"
            for name in ("latency", "online", "accuracy", "early", "claims", "rankings", "quality", "bandwidth")
            for kind in ("csv", "md")
        ),
        *(
            f"figures/{name}.{kind}"
            for name in (
                *("latency_overhead", "online_overhead", "online_frame_times", "accuracy_by_fraction"),
                *("data_movement", "measurement_noise"),
            )
            for kind in ("svg", "png")
        ),
    )
    if not (folder / name).is_file() or not (folder / name).stat().st_size
]
assert not missing, f"missing or empty: {missing}"
assert json.loads((folder / "run.json").read_text())["status"] == "finished"

latency = pd.read_csv(folder / "tables/latency.csv")
assert (latency["status"] == "ok").all(), latency[["strategy", "status", "reason"]]
assert latency[["overhead_pct", "overhead_ci_low_pct", "overhead_ci_high_pct"]].notna().all().all()
assert (latency["replicates"] >= 5).all()
assert latency[["predicted_overhead_pct", "overhead_all_pct", "peak_memory_mb"]].notna().all().all()

online = pd.read_csv(folder / "tables/online.csv")
assert (online["status"] == "ok").all(), online[["strategy", "status", "reason"]]
assert online[["overhead_pct", "frame_ms", "p99_ms", "cache_mb", "missed_deadline_pct"]].notna().all().all()

accuracy = pd.read_csv(folder / "tables/accuracy.csv").set_index("strategy")
assert accuracy.loc["no_shift", "temporal_mean_pct"] == 25.0
assert (accuracy["status"] == "ok").all()

verdicts = {claim["verdict"] for claim in json.loads((folder / "claims.json").read_text())}
assert "reproduced" in verdicts, verdicts
print(f"{folder}: all files of the contract, {len(latency)} latency rows, {len(accuracy)} arms")
