"""Numbers as a reader wants them: an estimate with its interval, rounded as finely as it is known."""

import math
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from bench.stats.estimators import Interval

LARGEST_DENOMINATOR = 64  # fractions people ask for are eighths or sixteenths; anything finer reads better in per cent
_SAME = 1e-6


def number(value: object) -> float:
    """Anything from a table cell as a float; NaN for what is not a number."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan


def between(value: object, low: object = None, high: object = None) -> Interval:
    """An estimate from table cells, of which the number of samples is not known; without ends, one without interval."""
    return Interval(number(value), number(low), number(high), count=0)


def estimate(row: Mapping[str, Any], stem: str, unit: str = "pct") -> Interval:
    """From the columns ``<stem>_mean_<unit>`` or ``<stem>_<unit>``, and ``<stem>_ci_low_<unit>`` and ``_ci_high_``."""
    mean = f"{stem}_mean_{unit}"
    value = row.get(mean, row.get(f"{stem}_{unit}"))
    return between(value, row.get(f"{stem}_ci_low_{unit}"), row.get(f"{stem}_ci_high_{unit}"))


def known(found: Interval) -> bool:
    """It has an interval: with one seed or one process there is none."""
    return math.isfinite(found.low) and math.isfinite(found.high)


def holds_zero(found: Interval) -> bool:
    """Zero cannot be ruled out; also where there is no interval."""
    return not known(found) or found.low <= 0 <= found.high


def beyond(found: Interval, bound: float) -> bool:
    """An effect to speak of: also with the interval widened on both sides by ``bound``, what two equals may differ by,
    zero is ruled out."""
    return known(found) and max(found.low, -found.high) > bound


def overlap(first: Interval, second: Interval) -> bool:
    """True unless both intervals are known and apart: without an interval nothing is separated."""
    return not (known(first) and known(second)) or (first.low <= second.high and second.low <= first.high)


def interval_text(found: Interval, unit: str = "%", *, signed: bool = True, missing: str = "no interval") -> str:
    """``+11.2 % [10.6, 11.8]``, or ``+11.2 % (no interval)``; two decimals for very narrow intervals, none for very
    wide ones."""
    half = found.half_width if known(found) else 0.5
    digits = 2 if half < 0.1 else 1 if half < 10 else 0
    value = f"{fixed(found.mean, digits, signed=signed)} {unit}".rstrip()
    if not known(found):
        return f"{value} ({missing})" if missing else value
    return f"{value} [{fixed(found.low, digits)}, {fixed(found.high, digits)}]"


def fixed(value: float, digits: int = 1, *, signed: bool = False) -> str:
    """Fixed decimals without a negative zero; ``n/a`` for NaN."""
    if not math.isfinite(value):
        return "n/a"
    rounded = round(value, digits) + 0.0  # -0.04 would print as -0.0
    return minus_text(f"{rounded:{'+' if signed and rounded else ''}.{digits}f}")


def minus_text(text: str) -> str:
    """With the true minus sign before every negative number."""
    return re.sub(r"(?<![\w.])-(?=\d)", "−", text)


def fraction_text(value: float) -> str:
    """0.125 -> ``1/8``, 1 -> ``all``, 0.123 -> ``12.3 %``."""
    if not math.isfinite(value):
        return "n/a"
    if abs(value - 1) < _SAME:
        return "all"
    near = Fraction(value).limit_denominator(LARGEST_DENOMINATOR)
    return str(near) if abs(value - near) < _SAME else f"{100 * value:.3g} %"


def channels_text(value: float) -> str:
    """``all channels`` or ``1/8 of the channels``."""
    return "all channels" if fraction_text(value) == "all" else f"{fraction_text(value)} of the channels"


def duration_text(seconds: float) -> str:
    """``45 s``, ``9 min 40 s``, ``1 h 5 min``."""
    if not math.isfinite(seconds):
        return "n/a"
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{seconds:.3g} s" if seconds < 10 else f"{whole} s"


def mde_text(value: float) -> str:
    """What a null result is worth: `` (mde 0.45 pp)``; empty where it is not known."""
    return f" (mde {fixed(value, 2 if value < 1 else 1)} pp)" if math.isfinite(value) and value > 0 else ""


def p_text(value: float) -> str:
    """``p < 0.001``, ``p = 0.013``; empty where there is none."""
    if not math.isfinite(value):
        return ""
    return "p < 0.001" if value < 0.001 else f"p = {fixed(value, 3 if value < 0.1 else 2)}"


def milliseconds_text(value: float) -> str:
    """``372 ms``, ``37.2 ms``, ``3.72 ms``."""
    return f"{fixed(value, 0 if value >= 100 else 2 if value < 10 else 1)} ms"


def count_text(count: int, singular: str, plural: str | None = None) -> str:
    """``1 case``, ``3 cases``."""
    return f"{count} {singular if count == 1 else plural or singular + 's'}"


def span_text(values: Sequence[float], digits: int = 0) -> str:
    """``8``, or ``7 to 16`` where they differ; empty without any."""
    finite = [value for value in values if math.isfinite(value)]
    return " to ".join(dict.fromkeys(fixed(end, digits) for end in (min(finite), max(finite)))) if finite else ""


def listed(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""


COLUMNS = 80  # of a terminal


def fit_text(text: str, columns: int) -> str:
    """At most so many columns of a terminal, on one line; what does not fit ends in ``…``."""
    line = "".join(c if c.isprintable() else " " for c in text)
    return line if cell_len(line) <= columns else set_cell_size(line, columns - 1) + "…"


def pad_text(text: str, columns: int) -> str:
    """As many columns of a terminal, filled with blanks."""
    return set_cell_size(fit_text(text, columns), columns)


def rows_text(text: str, most: int = 2) -> str:
    """A sentence in rows of a terminal."""
    rows = Text(text.strip()).wrap(Console(width=COLUMNS), COLUMNS)
    return "\n".join(row.plain.rstrip() for row in rows[:most])
