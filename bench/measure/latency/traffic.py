"""What one forward pass moves and holds, counted and not timed, and what moving bytes costs on this machine.

A dispatch mode sees every operator that PyTorch runs and adds up the bytes that it reads and writes. Views move
nothing. What a convolution re-reads inside itself is not seen; it is the same for baseline and strategy, so the
difference between the two is what the strategy moves on top.

Live bytes say what tensors hold, exactly. The resident high-water mark adds the interpreter, the libraries, the weights
and what the allocator keeps: what a machine must have to run the network at all. Its last 10 MB depend on the history
of the heap, so small differences between cases mean nothing.
"""

import contextlib
import ctypes
import functools
import mmap
import resource
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from bench.measure.latency.devices import Call, Clock, cpu_clock
from bench.models.runtimes.cudagraph import captured

_EMPTY = {"empty_like", "new_empty"}
_WRITES_NOTHING = _EMPTY | {"empty", "empty_strided", "new_empty_strided"}
_READS_NOTHING = _EMPTY | {"zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full"}
_OVERWRITES = {"copy_", "zero_", "fill_"}  # their destination is written, not read

_LEAST_MEBIBYTES = 16  # a small copy is repeated until it has moved this much, so that the clock can see it
_LEAST_CAPTURED = 256  # of a GPU, which moves 16 MiB in the time of a launch
_FRESH = 16 << 20  # bytes of fresh pages that are touched
_PROC = Path("/proc/self")
_RESET_PEAK = "5"  # what clear_refs takes to bring the high-water mark down to the present size (Linux, man 5 proc)
_TRIES = 3  # the least of a few: what a library allocates once for good belongs to no case


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
        known = {tensor.untyped_storage().data_ptr() for tensor in inputs}
        is_view = all(tensor.untyped_storage().data_ptr() in known for tensor in outputs)
        if func._schema.is_mutable or not is_view:
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


def _bytes_of(tensors: list[Tensor]) -> int:
    """Bytes of the distinct regions that ``tensors`` look at: x - x reads x once."""
    regions = {(t.data_ptr(), t.shape, t.stride()): t.numel() * t.element_size() for t in tensors}
    return sum(regions.values())


@contextlib.contextmanager
def _attention_in_parts() -> Iterator[None]:
    """Without PyTorch's attention in one operator, whose FLOPs its counter does not know."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def count(call: Callable[[], Any]) -> Traffic:
    """Run ``call`` once and count. The time that it takes means nothing."""
    with _attention_in_parts(), FlopCounterMode(display=False) as flops:
        call()
    with _Traffic() as counter:
        call()
    operations = dict(sorted(counter.operations.items()))
    moved = sum(size * number for size, number in operations.items())
    return Traffic(moved, counter.peak_live_bytes, int(flops.get_total_flops()), operations)


class CopyCurve:
    """Copies between two buffers in several sizes; small ones stay in the caches, as small activations do.

    The buffers live as long as the process, so that no copy pays for fresh pages.
    """

    def __init__(self, torch_device: str, mebibytes: Sequence[int], cuda: Any = None) -> None:
        """cuda: ``torch.cuda`` or a stand-in: copies are captured and replayed, as what they are compared with is."""
        largest = max(mebibytes, default=0) << 20
        self._mebibytes = mebibytes
        self._source = torch.ones(largest, dtype=torch.uint8, device=torch_device)
        self._target = torch.ones_like(self._source)
        self._least = _LEAST_MEBIBYTES if cuda is None else _LEAST_CAPTURED
        self._calls = {size: self._copies(size, cuda) for size in mebibytes}

    def measure(self, clock: Clock) -> dict[int, float]:
        """{MiB copied: seconds}. A copy reads that much and writes that much."""
        return {size: self._one(clock, size) for size in self._mebibytes}

    def _one(self, clock: Clock, mebibytes: int) -> float:
        call = self._calls[mebibytes]
        self._target[: mebibytes << 20].copy_(self._source[: mebibytes << 20])
        seconds, _ = clock(call)
        return seconds / self._repeats(mebibytes)

    def _repeats(self, mebibytes: int) -> int:
        return max(1, self._least // mebibytes)

    def _copies(self, mebibytes: int, cuda: Any) -> Call:
        source, target = self._source[: mebibytes << 20], self._target[: mebibytes << 20]

        def copies() -> None:
            for _ in range(self._repeats(mebibytes)):
                target.copy_(source)

        return copies if cuda is None else captured(copies, cuda)[0]


def page_seconds() -> float:
    """What one page fault costs: touching fresh pages, less touching them again, in seconds a fault; 0 where none."""
    with mmap.mmap(-1, _FRESH) as memory:
        touch = functools.partial(torch.frombuffer(memory, dtype=torch.uint8).fill_, 1)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        first = cpu_clock(touch)[0]
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
        again = min(cpu_clock(touch)[0] for _ in range(2))
        del touch  # memory that a tensor looks at cannot be given back
    return max(0.0, first - again) / faults if faults else 0.0


def resident_peak(call: Callable[[], Any], proc: Path = _PROC) -> int | None:
    """The most bytes that were resident while ``call`` ran; None where the system does not tell."""
    peaks = []
    try:
        for _ in range(_TRIES):
            with contextlib.suppress(AttributeError):  # trimmed, so that every case begins alike; glibc only
                ctypes.CDLL(None).malloc_trim(0)
            (proc / "clear_refs").write_text(_RESET_PEAK)
            call()
            status = (proc / "status").read_text()
            peaks.append(int(status.partition("VmHWM:")[2].split()[0]) << 10)  # "VmHWM:    123456 kB"
    except (OSError, IndexError):
        return None
    return min(peaks)
