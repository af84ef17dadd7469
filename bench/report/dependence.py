"""What changes the cost: each swept axis in words, the network first, then every mechanism along it."""

import math
from collections.abc import Sequence

from bench.report.numbers import Estimate, fixed, fraction_text, listed, milliseconds_text, number
from bench.report.selection import Row, Tables, line_text
from bench.report.swept import COUNTED, Along, Axis, Stop, swept

MOST_LINES = 4  # mechanisms told for one axis; the figure and the table have the others
MOST_STOPS = 5
_SAME = 0.03  # a baseline that changes by less is "about as long"


def axis_sentences(tables: Tables) -> list[str]:
    """For each axis: how the network's own time changes, and what that does to the relative cost of the shift."""
    sentences = []
    for axis in swept(tables):
        told = _told(axis.lines)
        sentences.append(_network(axis))
        sentences += [_mechanism(axis, along) for along in told]
    return sentences


def _told(along: Sequence[Along]) -> list[Along]:
    """Residual and bidirectional first, as published; the order within is kept."""
    return sorted(along, key=lambda one: (one.placement != "residual", one.direction != "bidirectional"))[:MOST_LINES]


def _network(axis: Axis) -> str:
    first, last = axis.stops[0], axis.stops[-1]
    if len(axis.stops) == 2 or axis.name in COUNTED:
        head = f"{axis.title.capitalize()}, {first.text} to {last.text}: the network without a shift"
        span = f"({milliseconds_text(first.baseline_ms)} to {milliseconds_text(last.baseline_ms)})"
        return f"{head} {_pace(first.baseline_ms, last.baseline_ms)} {span}."
    times = [f"{milliseconds_text(stop.baseline_ms)} with {stop.text}" for stop in axis.stops[:MOST_STOPS]]
    return f"{axis.title.capitalize()}: the network without a shift takes {listed(times)}."


def _pace(before: float, after: float) -> str:
    if not (before > 0 and after > 0):
        return "was timed in part only"
    factor = after / before
    if abs(factor - 1) <= _SAME:
        return "takes about as long"
    if factor < 1:
        return f"gets {_times(1 / factor)} faster"
    return f"takes {_times(factor)} as long"


def _times(factor: float) -> str:
    return f"{fixed(factor, 1 if factor < 10 else 0)}x"


def _mechanism(axis: Axis, along: Along) -> str:
    name = f"{line_text(along.strategy, along.placement, along.direction)}, {fraction_text(along.fraction)}"
    measured = [(stop, row) for stop, row in zip(axis.stops, along.cases, strict=True) if row is not None]
    (first, before), (last, after) = measured[0], measured[-1]
    if len(measured) > 2 and axis.name not in COUNTED:
        values = [f"{_overhead(row).text()} with {stop.text}" for stop, row in measured[:MOST_STOPS]]
        return f"{name}: {listed(values)}."
    told = f"{name}: the relative cost {_change(before, after)}"
    if len(measured) > 2 or (first, last) != (axis.stops[0], axis.stops[-1]):
        told += f" between {first.text} and {last.text}"
    extra = [_extra_ms(stop, row) for stop, row in ((first, before), (last, after))]
    if all(math.isfinite(value) and value > 0 for value in extra):
        told += f"; in time, {milliseconds_text(extra[0])} and {milliseconds_text(extra[1])}"
        if _overhead(after).low > _overhead(before).high and extra[1] < extra[0]:
            told += ", so the network's own work shrinks by more than the shift's"
    return f"{told}."


def _change(before: Row, after: Row) -> str:
    """Rises or falls only where the intervals are apart."""
    a, b = _overhead(before), _overhead(after)
    if not (a.has_interval and b.has_interval):
        return f"is {a.text()} and {b.text()}, which decides nothing"
    if a.overlaps(b):
        return f"does not change as far as this run can tell, {a.text()} and {b.text()}"
    return f"{'rises' if b.value > a.value else 'falls'} from {a.text()} to {b.text()}"


def _extra_ms(stop: Stop, row: Row) -> float:
    """What the shift adds, in milliseconds: halved bytes against arithmetic that shrinks by more show here."""
    return stop.baseline_ms * number(row["overhead_pct"]) / 100


def _overhead(row: Row) -> Estimate:
    return Estimate.of(row, "overhead")
