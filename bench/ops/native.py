"""Native CPU kernels: compiled on first use with the compiler at hand, kept for the next time.

``shift_`` and ``restore_`` move the channels of one group in their own memory, each thread taking a few kilobytes
through all frames while they lie in its cache. ``finish_`` is the end of a ``placed_block`` in one pass.
``shifted_product`` is a 1×1 convolution of shifted frames: the products of the groups are added up
tile by tile before a tile leaves the cache.

The library lies in the user's cache folder; its name is a hash of source, compiler, torch and processor. It is written
aside and renamed, so a process that dies meanwhile leaves nothing half done, and no lock.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.ops import products
from bench.ops.frames import Group, empty_like_with
from bench.ops.in_place import FrameByFrame, MovesInPlace
from bench.system.environment import cache_folder, cpu_flags

_SOURCE = Path(__file__).with_name("native.cpp")
_FLAGS = ("-O3", "-march=native", "-fopenmp", "-std=c++20", "-shared", "-fPIC")
_SECONDS = 100  # to compile; it takes some 20 s, and a process that is silent for 120 s counts as hung


class Unavailable(Exception):
    """There are no native kernels here; the message says why in one line."""


@cache
def why_not() -> str | None:
    """Why there are no native kernels on this machine, in one line; None where there are. Compiles on first use."""
    try:
        operators()
    except Unavailable as error:
        return str(error)
    return None


@cache
def operators() -> Any:
    """``torch.ops.shiftbench_native``, compiled and loaded. Raises Unavailable."""
    if platform.system() != "Linux":
        raise Unavailable(f"native kernels are built on Linux only, not on {platform.system()}")
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        raise Unavailable("native kernels need a C++ compiler, and none was found (c++, g++, clang++ or $CXX)")
    library = _library(compiler)
    try:
        if not library.exists():
            _compile(compiler, library)
        torch.ops.load_library(str(library))
    except OSError as error:
        raise Unavailable(
            f"the native kernels cannot be built or loaded: {str(error.__cause__ or error).splitlines()[0]}"
        ) from error
    for name, shape in _SHAPES.items():
        torch.library.register_fake(f"shiftbench_native::{name}", shape)
    return torch.ops.shiftbench_native


_SHAPES: dict[str, Any] = {  # what the operators return, for tracing: ``torch.compile`` takes each as it is
    "shift_": lambda channels, offset: channels.new_empty(len(channels), channels[0, 0].numel()),
    "restore_": lambda channels, fallen, offset: None,
    "finish_": lambda *given: None,
    "shifted_product": lambda frames, weight, num_segments, fold, bidirectional: empty_like_with(frames, len(weight)),
}


def _library(compiler: str) -> Path:
    processor = sorted(cpu_flags()) or platform.machine()
    made_from = repr((_SOURCE.read_bytes(), _FLAGS, compiler, torch.__version__, processor))
    return cache_folder() / f"native-{hashlib.sha256(made_from.encode()).hexdigest()[:16]}.so"


def _compile(compiler: str, library: Path) -> None:
    """Raises Unavailable with the compiler's first complaint."""
    home = Path(torch.__file__).parent
    include = [f"-I{home}/include", f"-I{home}/include/torch/csrc/api/include"]
    libraries = [f"-L{home}/lib", "-ltorch_cpu", "-lc10"]
    abi = f"-D_GLIBCXX_USE_CXX11_ABI={int(torch.compiled_with_cxx11_abi())}"
    library.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        made = Path(folder) / library.name
        command = [compiler, *_FLAGS, abi, *include, str(_SOURCE), *libraries, "-o", str(made)]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=_SECONDS)
        except subprocess.CalledProcessError as error:
            complaints = [line for line in error.stderr.splitlines() if "error" in line] or ["it gave no reason"]
            raise Unavailable(f"the native kernels do not compile with {compiler}: {complaints[0]}") from error
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"the native kernels did not compile within {_SECONDS} s") from error
        os.replace(made, library)


class Native(FrameByFrame):
    """The same by native kernels, threaded, on a CPU. Raises Unavailable where there are none."""

    def __init__(self) -> None:
        operators()

    def shift(self, clip: Tensor, groups: Sequence[Group]) -> list[Tensor]:
        """One call for each group."""
        if not clip.is_cpu:
            return super().shift(clip, groups)
        return [operators().shift_(group.of(clip), group.offset) for group in groups]

    def restore(self, clip: Tensor, groups: Sequence[Group], fallen: Sequence[Tensor]) -> None:
        """One call for each group."""
        if not clip.is_cpu:
            super().restore(clip, groups, fallen)
            return
        for group, first in zip(groups, fallen, strict=True):
            operators().restore_(group.of(clip), first, group.offset)


class MovesNatively(MovesInPlace):
    """A strategy that shifts in the clip's own memory by native kernels; by PyTorch's copies without them."""

    @cached_property
    def mover(self) -> FrameByFrame:  # type: ignore[override]
        """How the bytes move here."""
        if reason := why_not():
            self.fall_back(reason)
            return FrameByFrame()
        return Native()

    def skip(self, backbone: str, frames: int) -> str | None:
        """Without a compiler it would be ``buffer_shift`` under another name."""
        return why_not()


def multiply(frames: Tensor, weight: Tensor, groups: Sequence[Group], num_segments: int) -> Tensor:
    """As ``products.multiply`` does, tile by tile on a CPU. Raises Unavailable where there are no native kernels."""
    if not frames.is_cpu:
        return products.multiply(frames, weight, groups, num_segments)
    fold = groups[0].last if groups else 0
    product: Tensor = operators().shifted_product(frames, weight, num_segments, fold, len(groups) > 1)
    return product
