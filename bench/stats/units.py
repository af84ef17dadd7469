"""Values of independent units: one per process where time is measured, one per seed where something is trained."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from bench.stats import estimators
from bench.stats.estimators import CONFIDENCE, Interval


@dataclass(frozen=True)
class Units:
    """{unit: value}. Two of them are paired by their units; an interval is taken over the units."""

    by_unit: Mapping[int, float]

    def __len__(self) -> int:
        return len(self.by_unit)

    def __iter__(self) -> Iterator[float]:
        return iter(self.by_unit.values())

    def __sub__(self, other: "Units") -> "Units":
        """The difference in every unit that both have."""
        return Units(
            {unit: value - other.by_unit[unit] for unit, value in self.by_unit.items() if unit in other.by_unit}
        )

    @property
    def values(self) -> list[float]:
        """In the order of the units."""
        return list(self.by_unit.values())

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """Mean and Student's t interval over units; NaN bounds for fewer than two."""
        return estimators.t_interval(self.values, confidence)

    def mde(self, confidence: float = CONFIDENCE) -> float:
        """The minimum detectable effect: what would have been found four times in five at this confidence."""
        return estimators.minimum_detectable_effect(self.values, confidence)


def known(pairs: Iterable[tuple[int, float | None]]) -> Units:
    """Without the units that have no value."""
    return Units({unit: value for unit, value in pairs if value is not None})
