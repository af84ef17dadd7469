"""The data sets by name. A new one needs a class that is a ``Dataset``, a line here and its name in ``bench.axes``."""

from collections.abc import Callable

from bench.accuracy.clips import Dataset
from bench.accuracy.ring_digits import RingDigits
from bench.axes import DATASETS, ValueNotAllowed

MAKERS: dict[str, Callable[[float, int], Dataset]] = {"ring_digits": RingDigits.split}


def open_dataset(name: str, train_share: float, seed: int) -> Dataset:
    """The data set ``name``, its source images split by ``seed`` into ``train_share`` for training and the rest.

    Raises ValueNotAllowed for an unknown name.
    """
    if name not in MAKERS:
        raise ValueNotAllowed(f"unknown dataset {name!r}; there are: {', '.join(DATASETS)}")
    return MAKERS[name](train_share, seed)
