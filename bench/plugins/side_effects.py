"""What a strategy's code must leave as it found it: settings that hold for all, and no thread or process beside it.

Whatever it changed for all, the cases beside it would pay for: their times would no longer be their own. ``PYTORCH``
and ``PROCESS`` are the whole list. It holds while a file is loaded, while it is checked and while a case is built.
"""

import contextlib
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.nn.modules.module import _global_forward_hooks, _global_forward_pre_hooks

from bench.system.workers import children


class SideEffectError(Exception):
    """A strategy's code changed what all cases share; the message says what. What could be put back was."""


class LeftRunning(SideEffectError):
    """It left a thread running, which nobody can stop: this process must not time anything any more."""


_READ_BY_LIBRARIES = (  # prefixes of variables that change threads, allocators and kernels
    *("OMP_", "GOMP_", "KMP_", "MKL_", "ONEDNN_", "DNNL_", "OPENBLAS_", "MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD"),
    *("TORCH", "PYTORCH_", "ATEN_", "CUDA_", "CUBLAS_", "CUDNN_", "NVIDIA_TF32_"),
)
_WRITTEN_BY_LIBRARIES = (  # when they are imported: where they keep things, and how they get along with each other
    *("TORCHINDUCTOR_CACHE_DIR", "TORCH_WARM_POOL", "CUDA_MODULE_LOADING"),
    *("KMP_INIT_AT_FORK", "KMP_DUPLICATE_LIB_OK"),
)
_SIGNALS = [getattr(signal, f"SIG{name}") for name in ("INT", "TERM", "HUP", "ALRM", "CHLD", "CONT", "USR1", "PIPE")]
_COMPILERS = ("torch._dynamo.config", "torch._inductor.config")
_COMPILED = (
    "it compiles itself (torch.compile), and the compiler's processes stay: leave shift as it is, and measure it with "
    "--runtimes compile"
)


def _environment() -> dict[str, str]:
    """The variables that libraries read."""
    every = os.environ.items()
    return {n: value for n, value in every if n.startswith(_READ_BY_LIBRARIES) and n not in _WRITTEN_BY_LIBRARIES}


def _put_environment(before: dict[str, str]) -> None:
    for name in _environment().keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


def _handlers() -> dict[str, Any]:
    return {number.name: signal.getsignal(number) for number in _SIGNALS}


def _put_handlers(before: dict[str, Any]) -> None:
    for name, handler in before.items():
        if handler is not None and signal.getsignal(signal.Signals[name]) is not handler:
            signal.signal(signal.Signals[name], handler)


def _flushes_denormals() -> bool:
    """Whether numbers near zero become zero, which makes some networks many times faster; nothing tells it but one."""
    smallest = sys.float_info.min
    return smallest / 2 == 0.0


def _of_compilers() -> str:
    """Settings of torch.compile that are not its defaults; empty where nothing has imported it. They are not put back:
    nothing but what is compiled later reads them, and that is not this strategy any more."""
    return "".join(sys.modules[name].codegen_config() for name in _COMPILERS if name in sys.modules)


def _compiled() -> int:
    """Graphs that torch.compile has made in this process."""
    dynamo = sys.modules.get("torch._dynamo.utils")
    return dynamo.counters["stats"]["unique_graphs"] if dynamo else 0


def _global_hooks() -> tuple[int, int]:
    return len(_global_forward_hooks), len(_global_forward_pre_hooks)


def _drop_hooks(before: tuple[int, int]) -> None:
    for hooks, count in zip((_global_forward_hooks, _global_forward_pre_hooks), before, strict=True):
        for key in list(hooks)[count:]:
            del hooks[key]


def _collection() -> tuple[bool, tuple[int, ...]]:
    return gc.isenabled(), gc.get_threshold()


def _put_collection(before: tuple[bool, tuple[int, ...]]) -> None:
    gc.set_threshold(*before[1])
    (gc.enable if before[0] else gc.disable)()


def _tracing() -> tuple[Any, Any]:
    return sys.gettrace(), sys.getprofile()


def _put_tracing(before: tuple[Any, Any]) -> None:
    sys.settrace(before[0])
    sys.setprofile(before[1])


Guarded = dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]]

PYTORCH: Guarded = {
    "the number of threads": (torch.get_num_threads, torch.set_num_threads),
    "the number of threads between operators": (torch.get_num_interop_threads, torch.set_num_interop_threads),
    "the default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "the default device": (torch.get_default_device, lambda _: torch.set_default_device(None)),
    "whether gradients are recorded": (torch.is_grad_enabled, torch.set_grad_enabled),
    "whether gradients are searched for anomalies": (torch.is_anomaly_enabled, torch.set_anomaly_enabled),
    "autocast": (lambda: torch.is_autocast_enabled("cpu"), lambda on: torch.set_autocast_enabled("cpu", on)),
    "the seed of random numbers": (torch.initial_seed, torch.manual_seed),
    "deterministic algorithms": (torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
    "the precision of products": (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    "oneDNN": (torch._C._get_mkldnn_enabled, torch._C._set_mkldnn_enabled),
    "cuDNN": (torch._C._get_cudnn_enabled, torch._C._set_cudnn_enabled),
    "cuDNN's autotuning": (torch._C._get_cudnn_benchmark, torch._C._set_cudnn_benchmark),
    "cuDNN's TF32": (torch._C._get_cudnn_allow_tf32, torch._C._set_cudnn_allow_tf32),
    "hooks of all modules": (_global_hooks, _drop_hooks),
    "the environment": (_environment, _put_environment),
    "signal handlers": (_handlers, _put_handlers),
    "garbage collection": (_collection, _put_collection),
}
"""{what: (get, put back)}: nobody changes them, in whatever runtime."""

PROCESS: Guarded = {
    "numbers near zero": (_flushes_denormals, torch.set_flush_denormal),
    "settings of torch.compile": (_of_compilers, lambda _: None),
    "the priority": (lambda: os.getpriority(os.PRIO_PROCESS, 0), lambda was: os.setpriority(os.PRIO_PROCESS, 0, was)),
    "a trace or profile function": (_tracing, _put_tracing),
}
"""The same, but compilers and deployment runtimes may; so may they start threads and processes."""
if hasattr(os, "sched_getaffinity"):
    PROCESS["the cores that may be used"] = (
        lambda: sorted(os.sched_getaffinity(0)),
        lambda was: os.sched_setaffinity(0, was),
    )


@contextlib.contextmanager
def no_side_effects(*, compiling: bool = False) -> Iterator[None]:
    """Raises SideEffectError where the body left something changed or running; it is put back, processes are ended.

    compiling: a compiler or a runtime works in the body too, which has processes, threads and settings of its own.
    """
    guarded = PYTORCH if compiling else PYTORCH | PROCESS
    before = {name: get() for name, (get, _) in guarded.items()}
    threads, processes, graphs = set(threading.enumerate()), children(), _compiled()
    changed, left = [], False
    try:
        yield
    finally:
        for name, (get, put) in guarded.items():
            if (now := get()) != before[name]:
                changed.append(f"{name} ({_shown(before[name], now)})")
                with contextlib.suppress(OSError, RuntimeError, ValueError):  # a priority once given away stays so
                    put(before[name])
        for child in set[int]() if compiling else children() - processes:
            left = True
            with contextlib.suppress(ChildProcessError, ProcessLookupError):
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)  # one that nobody waited for would still be in the list
    if _compiled() > graphs and not compiling:
        raise SideEffectError(_COMPILED)
    if changed:
        raise SideEffectError(f"it changed a setting that holds for all: {', '.join(changed)}")
    if left:
        raise SideEffectError("it left a process running")
    running = [own for own in threading.enumerate() if own not in threads and own.is_alive() and not _is_autograds(own)]
    if running and not compiling:
        raise LeftRunning(f"it left a thread running ({running[0].name})")


def _is_autograds(thread: threading.Thread) -> bool:
    """PyTorch's own, one for each device: Python meets them when they run its code, in a backward pass."""
    try:
        name = Path(f"/proc/self/task/{thread.native_id}/comm").read_text()
    except OSError:
        return False
    return isinstance(thread, threading._DummyThread) and name.startswith("pt_autograd")


def _shown(before: Any, now: Any) -> str:
    """A change, in one line; of several values, those that differ."""
    if isinstance(before, dict):
        differing = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
        return ", ".join(f"{name}: {_shown(before.get(name), now.get(name))}" for name in differing)
    if isinstance(before, str) and "\n" in before + now:
        return ", ".join(sorted(set(now.splitlines()) ^ set(before.splitlines())))
    return f"{before} became {now}"
