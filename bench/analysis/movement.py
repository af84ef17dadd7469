"""What moving bytes should cost: counted traffic at measured bandwidth, counted page faults at their measured price.

*Traffic*: every operator that a strategy adds moves so many bytes, read and written; a copy of that size took so
long in the same superblocks. *Faults*: memory that an allocator has given back to the system comes back as fresh
pages, which the kernel hands out one by one and fills with zeros; the slots' counters say how many more of them a case
takes than its baseline, and touching fresh pages in the same superblocks says what one costs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.spec.panel import Panel
from bench.store.records import ProcessRecord, Record
from bench.store.samples import Static

_MEBI = 1 << 20
_OFF = 2.0  # the factor by which a prediction from bytes alone may miss
_NEGLIGIBLE = 0.5  # pp: below this a factor means nothing


@dataclass(frozen=True)
class Movement:
    """What a panel's moving of bytes costs.

    copies: {MiB copied: seconds, one for each superblock}. page_seconds: of one page fault, NaN where not measured.
    """

    copies: dict[int, list[float]]
    page_seconds: float

    def rates(self, mebibytes: int) -> list[float]:
        """Bytes per second, read and written, superblock by superblock."""
        return [2 * mebibytes * _MEBI / value for value in self.copies[mebibytes]]

    def traffic_seconds(self, static: Static, base: Static) -> float:
        """The time of the operators that a case runs beyond its baseline's; those that it saves count as gained."""
        own, other = static.operations, base.operations
        extra = {size: own.get(size, 0) - other.get(size, 0) for size in own.keys() | other.keys()}
        return sum(number * self._copy_seconds(size) for size, number in extra.items() if number) if extra else math.nan

    def fault_seconds(self, extra_faults: float) -> float:
        """The time of so many page faults; none where faults are not counted (a GPU's allocator keeps its memory)."""
        return 0.0 if math.isnan(extra_faults) or math.isnan(self.page_seconds) else extra_faults * self.page_seconds

    def _copy_seconds(self, moved: int) -> float:
        """Of an operator that moves so many bytes: at the bandwidth of the nearest sizes, between them along the
        logarithm of the size; NaN where no copies were measured."""
        if not self.copies:
            return math.nan
        sizes = sorted(self.copies)
        medians = [float(np.median(self.rates(size))) for size in sizes]
        places = [math.log(2 * size * _MEBI) for size in sizes]
        return moved / float(np.interp(math.log(max(moved, 1)), places, medians))


def movements(records: Sequence[Record]) -> dict[Panel, Movement]:
    """For each panel that has processes."""
    copies: dict[Panel, dict[int, list[float]]] = {}
    pages: dict[Panel, list[float]] = {}
    for record in records:
        if isinstance(record, ProcessRecord) and record.samples is not None:
            curve = copies.setdefault(record.panel, {})
            for size, seconds in record.samples.copies.items():
                curve.setdefault(size, []).extend(seconds)
            pages.setdefault(record.panel, []).extend(record.samples.page_seconds)
    return {
        panel: Movement(curve, float(np.median(pages[panel])) if pages[panel] else math.nan)
        for panel, curve in copies.items()
    }


def is_off(predicted: float, low: float, high: float) -> bool:
    """The whole interval of the measured overhead lies more than a factor of two from the prediction.

    Overheads below half a percentage point count as none on either side.
    """
    if any(math.isnan(value) for value in (predicted, low, high)) or max(abs(low), abs(high)) < _NEGLIGIBLE:
        return False
    nearest, farthest = sorted((predicted / _OFF, predicted * _OFF))
    return low > max(farthest, _NEGLIGIBLE) or high < min(nearest, predicted - _NEGLIGIBLE)
