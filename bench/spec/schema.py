"""What settings are made of: numbers, times and shares as people write them, groups of strategies, when to stop.

Everything is validated where it is read; a mistake is one line that names the value and what is allowed.
"""

import re
from fractions import Fraction
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from bench.spec.axes import Direction, Placement, ValueNotAllowed, parse_fraction, require


def parse_duration(text: str | float | int) -> float:
    """``"10m"``, ``"90s"``, ``"1.5h"`` or a number of seconds -> seconds. Raises ValueNotAllowed."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh]?)\s*", str(text))
    seconds = float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]] if match else 0.0
    if seconds <= 0:
        raise ValueNotAllowed(f"duration {text!r} is not a positive time; write 90s, 10m or 1.5h")
    return seconds


def one_of(allowed: dict[str, str] | tuple[str, ...], what: str) -> BeforeValidator:
    """A validator: the value is one of ``allowed``; the message lists them."""

    def check(value: object) -> object:
        require(value, tuple(allowed), what)
        return value

    return BeforeValidator(check)


Share = Annotated[Fraction, BeforeValidator(parse_fraction), PlainSerializer(str, when_used="json")]
Seconds = Annotated[float, BeforeValidator(parse_duration)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]


class Strict(BaseModel):
    """A part of the settings or of a record: frozen, and no key that is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Group(Strict):
    """Strategies that are measured at the same fractions, placements and directions."""

    strategies: tuple[str, ...] = ()
    fractions: tuple[Share, ...] = (Fraction(1, 4),)
    placements: tuple[Placement, ...] = ("residual",)
    directions: tuple[Direction, ...] = ("bidirectional",)


_EXPORT_SECONDS, _EXPORT_SHARE = 120.0, 0.2  # six times what ResNet-50 takes; of the panel's budget


class ProcessLimits(Strict):
    """What one process of a stranger's code may take before it is ended.

    silence: without a sign of life, after which it counts as hung (five times that where a runtime compiles).
    memory_gib: what it may allocate; None: what the machine has free. export: to export one case for deployment
    runtimes; None: two minutes, or a fifth of its panel's budget where that is less.
    """

    silence: Seconds = 120.0
    memory_gib: Positive | None = None
    export: Seconds | None = None

    def export_seconds(self, budget: float) -> float:
        """What the export of one case may take in a panel of this budget."""
        return min(_EXPORT_SECONDS, _EXPORT_SHARE * budget) if self.export is None else self.export


USUAL_LIMITS = ProcessLimits()


class Stopping(Strict):
    """How long panels are measured, and when their intervals are narrow enough."""

    largest_copy_mib: Annotated[int, Field(ge=1, le=1024)] = 512  # of the copy-bandwidth curve, from 1 MiB on
    budget: Seconds = 600.0
    target_half_width_pp: Positive = 0.5
    min_replicates: Count = 5
    max_replicates: Count = 8
    max_superblocks: Count = 40  # of one process: a longer one meets more of the machine's slow drift

    @model_validator(mode="before")
    @classmethod
    def _old_name(cls, data: Any) -> Any:
        """Before version 0.2 percentage points were called points."""
        if isinstance(data, dict) and "target_half_width_points" in data:
            data = dict(data)
            data["target_half_width_pp"] = data.pop("target_half_width_points")
        return data

    @model_validator(mode="after")
    def _ordered(self) -> "Stopping":
        if self.min_replicates > self.max_replicates:
            raise ValueNotAllowed(
                f"min_replicates = {self.min_replicates} is more than max_replicates = {self.max_replicates}"
            )
        return self
