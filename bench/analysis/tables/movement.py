"""What moving bytes should cost: counted traffic at measured bandwidth, counted page faults at their measured price.

*Traffic*: every operator that a strategy adds moves so many bytes, read and written; a copy of that size took so
long in the same superblocks. *Faults*: memory that an allocator has given back to the system comes back as fresh
pages, which the kernel hands out one by one and fills with zeros; the slots' counters say how many more of them a case
takes than its baseline, and touching fresh pages in the same superblocks says what one costs.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.tables.columns import PANEL
from bench.spec.cases import Panel, panel_from_json
from bench.store.records import Record

_MEBI = 1 << 20
_OFF = 2.0  # the factor by which a prediction from bytes alone may miss
_NEGLIGIBLE = 0.5  # points: below this a factor means nothing
_COLUMNS = [*PANEL, "mebibytes", "gb_per_s", "gb_per_s_low", "gb_per_s_high"]


@dataclass(frozen=True)
class Curve:
    """Copies of one panel: {MiB copied: seconds, one for each superblock}."""

    seconds: dict[int, list[float]]

    def rates(self, mebibytes: int) -> list[float]:
        """Bytes per second, read and written, superblock by superblock."""
        return [2 * mebibytes * _MEBI / value for value in self.seconds[mebibytes]]

    def time(self, moved: int) -> float:
        """Seconds that an operator takes which moves so many bytes: the bandwidth of the nearest sizes, between them
        along the logarithm of the size; NaN without a curve."""
        if not self.seconds:
            return math.nan
        sizes = sorted(self.seconds)
        medians = [float(np.median(self.rates(size))) for size in sizes]
        places = [math.log(2 * size * _MEBI) for size in sizes]
        return moved / float(np.interp(math.log(max(moved, 1)), places, medians))


@dataclass(frozen=True)
class Movement:
    """What a panel's moving of bytes costs. page_seconds: one page fault, NaN where it was not measured."""

    curve: Curve
    page_seconds: float

    def traffic_seconds(self, static: dict[str, Any], base: dict[str, Any]) -> float:
        """The time of the operators that a case runs beyond its baseline's; those that it saves count as gained."""
        own, other = _operations(static), _operations(base)
        extra = {size: own.get(size, 0) - other.get(size, 0) for size in own.keys() | other.keys()}
        return sum(number * self.curve.time(size) for size, number in extra.items() if number) if extra else math.nan

    def fault_seconds(self, extra_faults: float) -> float:
        """The time of so many page faults; none where faults are not counted (a GPU's allocator keeps its memory)."""
        return 0.0 if math.isnan(extra_faults) or math.isnan(self.page_seconds) else extra_faults * self.page_seconds


def _operations(static: dict[str, Any]) -> dict[int, int]:
    return {int(size): number for size, number in static["operations"].items()}


def movements(records: Sequence[Record]) -> dict[Panel, Movement]:
    """For each panel that has replicates."""
    copies: dict[Panel, dict[int, list[float]]] = {}
    pages: dict[Panel, list[float]] = {}
    for record in records:
        if record.kind == "replicate" and record.status == "ok":
            panel = panel_from_json(record.case)
            curve = copies.setdefault(panel, {})
            for size, seconds in record.samples["copies"].items():
                curve.setdefault(int(size), []).extend(seconds)
            pages.setdefault(panel, []).extend(record.samples["page_seconds"])
    return {
        panel: Movement(Curve(curve), float(np.median(pages[panel])) if pages[panel] else math.nan)
        for panel, curve in copies.items()
    }


def is_off(predicted: float, low: float, high: float) -> bool:
    """The whole interval of the measured overhead lies more than a factor of two from the prediction.

    Overheads below half a point count as none on either side.
    """
    if any(math.isnan(value) for value in (predicted, low, high)) or max(abs(low), abs(high)) < _NEGLIGIBLE:
        return False
    nearest, farthest = sorted((predicted / _OFF, predicted * _OFF))
    return low > max(farthest, _NEGLIGIBLE) or high < min(nearest, predicted - _NEGLIGIBLE)


def bandwidth_table(records: Sequence[Record]) -> pd.DataFrame:
    """The copy-bandwidth curve of each panel: median and quartiles over superblocks, read + written."""
    rows = []
    for panel, movement in movements(records).items():
        for size in sorted(movement.curve.seconds):
            low, middle, high = np.percentile(movement.curve.rates(size), (25, 50, 75)) / 1e9
            rates = {"gb_per_s": middle, "gb_per_s_low": low, "gb_per_s_high": high}
            rows.append({**asdict(panel), "mebibytes": size, **rates})
    return pd.DataFrame(rows, columns=_COLUMNS)
