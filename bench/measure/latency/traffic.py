"""What one forward pass moves and holds, counted and not timed, for any strategy.

A dispatch mode sees every operator that PyTorch runs and adds up the bytes that it reads and writes. Views move
nothing. What a convolution re-reads inside itself is not seen; it is the same for baseline and strategy, so the
difference between the two is what the strategy moves on top.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

_EMPTY = {"empty_like", "new_empty"}
_WRITES_NOTHING = _EMPTY | {"empty", "empty_strided", "new_empty_strided"}
_READS_NOTHING = _EMPTY | {"zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full"}
_OVERWRITES = {"copy_", "zero_", "fill_"}  # their destination is written, not read


@dataclass(frozen=True)
class Traffic:
    """bytes_moved: read + written by all operators. peak_live_bytes: the most that all activations held at once.

    operations: {bytes that one operator moved: how many such there were}; a small one runs at another bandwidth.
    """

    bytes_moved: int
    peak_live_bytes: int
    flops: int
    operations: dict[int, int]


class _Traffic(TorchDispatchMode):
    """Adds up traffic and follows which storages are alive."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: Counter[int] = Counter()
        self.peak_live_bytes = 0
        self._alive: dict[Any, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out, name = func(*args, **(kwargs or {})), func.overloadpacket.__name__
        only_written = {argument.name for argument in func._schema.arguments if argument.is_out}
        given = {key: value for key, value in (kwargs or {}).items() if key not in only_written}
        inputs, outputs = _tensors((args, given)), _tensors(out)
        if func._schema.is_mutable or not _same_memory(outputs, inputs):  # else a view
            read = [] if name in _READS_NOTHING else inputs[1:] if name in _OVERWRITES else inputs
            written = [] if name in _WRITES_NOTHING else outputs + _mutated(func, args)
            moved = _bytes_of(read) + _bytes_of(written)
            if moved:
                self.operations[moved] += 1
        self._follow(outputs)
        return out

    def _follow(self, outputs: list[Tensor]) -> None:
        for tensor in outputs:
            storage = tensor.untyped_storage()
            reference = StorageWeakRef(storage)
            self._alive.setdefault(reference.cdata, (reference, storage.nbytes()))
        self._alive = {key: held for key, held in self._alive.items() if not held[0].expired()}
        self.peak_live_bytes = max(self.peak_live_bytes, sum(size for _, size in self._alive.values()))


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _mutated(func: Any, args: Any) -> list[Tensor]:
    """The arguments that an operator writes into, returned or not."""
    schema = zip(func._schema.arguments, args, strict=False)
    return [a for argument, a in schema if argument.alias_info and argument.alias_info.is_write and a is not None]


def _same_memory(outputs: list[Tensor], inputs: list[Tensor]) -> bool:
    """All outputs lie in the storage of an input."""
    known = {tensor.untyped_storage().data_ptr() for tensor in inputs}
    return all(tensor.untyped_storage().data_ptr() in known for tensor in outputs)


def _bytes_of(tensors: list[Tensor]) -> int:
    """Bytes of the distinct regions that ``tensors`` look at: x - x reads x once."""
    regions = {(t.data_ptr(), t.shape, t.stride()): t.numel() * t.element_size() for t in tensors}
    return sum(regions.values())


def count(call: Callable[[], Any]) -> Traffic:
    """Run ``call`` once and count. The time that it takes means nothing."""
    with FlopCounterMode(display=False) as flops:
        call()
    with _Traffic() as counter:
        call()
    operations = dict(sorted(counter.operations.items()))
    moved = sum(size * number for size, number in operations.items())
    return Traffic(moved, counter.peak_live_bytes, int(flops.get_total_flops()), operations)
