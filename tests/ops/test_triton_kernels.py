"""The Triton kernels through the interpreter, on a device where there is one, and as the compiler leaves them."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.ops.triton_operators import on_compilation
from tests.conftest import ROOT

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed"),
    pytest.mark.filterwarnings("ignore:TRITON_DEFAULT_FP_FUSION"),
]

PROPERTIES = [str(ROOT / "tests" / "ops" / f"{what}_properties.py") for what in ("kernel", "moving", "fused")]


def properties_hold(interpreted: bool, *more: str) -> None:
    """In a process of its own: whether kernels are interpreted is settled when they are defined."""
    line = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-W", "ignore:TRITON_DEFAULT_FP_FUSION"]
    environment = {**os.environ, "TRITON_INTERPRET": "1" if interpreted else "0", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*line, *PROPERTIES, *more], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_few_properties_under_the_interpreter() -> None:
    properties_hold(
        True, "-k", "groups_may_end or adds_up_many_parts or repeat or block_ends or moves_what or in_one_launch"
    )


@pytest.mark.slow
def test_the_kernels_are_exact_under_the_interpreter() -> None:
    properties_hold(interpreted=True)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_kernels_are_exact_on_a_device() -> None:
    properties_hold(interpreted=False)


def compiled(name: str, capability: int, constants: dict[str, Any], pointers: dict[str, str], **options: int) -> str:
    """PTX of a kernel for a CUDA device that need not be there; sizes are multiples of 16, pointers aligned."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from bench.ops import triton_code

    kernel = getattr(triton_code, name)
    runtime = {n: pointers.get(n, "i32") for n in kernel.arg_names if n not in constants}
    moves = [f"{which}{way}" for which in ("", "read_", "write_") for way in ("ahead", "behind")]
    unaligned = {"num_segments", "blocks_each", "moved", *moves}
    source = ASTSource(
        kernel,
        {n: runtime.get(n, "constexpr") for n in kernel.arg_names},
        {(kernel.arg_names.index(n),): value for n, value in constants.items()},
        {(kernel.arg_names.index(n),): [["tt.divisibility", 16]] for n in runtime if n not in unaligned},
    )
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options).asm["ptx"]  # type: ignore[no-any-return]


@pytest.fixture
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))


PLAIN = {"scale": None, "bias": None, "ACTIVATION": "none"}
WIDE = re.compile(r"ld\.global\.v4\.b32|cp\.async\.cg\.shared\.global \[[^]]*\], \[[^]]*\], 0x10,")
NARROW = re.compile(r"ld\.global\.b16|cp\.async\.ca")
STORED = re.compile(r"st\.global\.v4\.b32")


@pytest.mark.usefixtures("_own_cache")
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("capability", [80, 90])
def test_compiled_kernels_load_16_bytes_at_a_time(capability: int, channels_last: bool) -> None:
    """What the hints are for: without them the loads of a tile that may straddle groups are 2 bytes wide."""
    shared = {"CHANNELS_LAST": channels_last}
    pointers = dict.fromkeys(("source", "target", "weight", "gradient"), "*fp16")
    shift = compiled("shift", capability, {**shared, "BACK": False, "RUN": 16, "BLOCK": 1024}, pointers)
    tiles = {"RUN_IN": 16, "RUN_OUT": 16, "ROW_RUN": 16, "ROWS": 64, "IN": 32, "OUT": 64, "PRECISION": "ieee"}
    constants = {**shared, **tiles, "WIDEN": False}
    plain = {**PLAIN, "weight_in": 1}
    shifted = {"READS": True, "WRITES": False}
    product = compiled("product", capability, {**constants, **plain, **shifted}, pointers, num_warps=4, num_stages=3)
    gradient = compiled("weight_gradient", capability, constants, pointers | {"partial": "*fp32"}, num_warps=4)
    for code in (shift, product, gradient):
        assert WIDE.search(code) and not NARROW.search(code)
    assert "mma" in product and "mma" in gradient


@pytest.mark.usefixtures("_own_cache")
@pytest.mark.parametrize("channels_last", [False, True])
def test_the_end_of_a_block_moves_16_bytes_at_a_time(channels_last: bool) -> None:
    """Wherever a channel comes from and goes to; what lies aside too."""
    pointers = dict.fromkeys(("out", "shortcut", "held", "fallen", "frames"), "*fp16")
    lost, put_back = {"held": None, "BACK": False}, {"fallen": None, "BACK": True}
    pointers |= dict.fromkeys(("scale", "offset"), "*fp32")
    tile = {"CHANNELS_LAST": channels_last, "FRAMES": 8, "BLOCK": 512}
    of_finish = {"RUN_READ": 16, "RUN_WRITE": 16, "RECTIFIED": True, "shortcut_scale": None}
    for name, constants in (("finish", of_finish), ("move", {"RUN": 16, **lost}), ("move", {"RUN": 16, **put_back})):
        code = compiled(name, 90, {**tile, **constants}, pointers, num_warps=2)
        assert WIDE.search(code) and not NARROW.search(code), name
        assert STORED.search(code) and "st.global.b16" not in code, name
        assert code.count("bar.sync") >= 1, "all is read before anything is written"


@pytest.mark.usefixtures("_own_cache")
def test_the_largest_tiles_are_made_for_the_matrix_units_of_a_hopper() -> None:
    from bench.ops import triton_launch

    pointers = dict.fromkeys(("source", "target", "weight"), "*fp16")
    constants = {"CHANNELS_LAST": True, "RUN_IN": 16, "RUN_OUT": 16, "ROW_RUN": 16, "PRECISION": "ieee", "WIDEN": False}
    constants |= {**PLAIN, "weight_in": 1, "READS": True, "WRITES": False}
    found = []
    for config in triton_launch._CONFIGURATIONS[:4]:
        how = {"num_warps": config.num_warps, "num_stages": config.num_stages}
        code = compiled("product", 90, {**constants, **config.kwargs}, pointers, **how)
        found.append("wgmma" in code)
        assert not re.search(r"\bst\.local|\bld\.local", code), "an array of registers went to memory"
    assert all(found)


@pytest.mark.usefixtures("_own_cache")
@pytest.mark.parametrize(("dtype", "narrow"), [("fp16", False), ("fp32", True)])
def test_float32_in_nchw_is_brought_to_the_matrix_units_4_bytes_at_a_time(dtype: str, narrow: bool) -> None:
    """Why ``triton_conv`` leaves such layers to cuDNN; where this no longer holds, it need not."""
    pointers = dict.fromkeys(("source", "target", "weight"), f"*{dtype}")
    constants = {"CHANNELS_LAST": False, "RUN_IN": 16, "RUN_OUT": 16, "ROW_RUN": 16, "PRECISION": "tf32"}
    constants |= {"WIDEN": False, **PLAIN, "weight_in": 1, "READS": True, "WRITES": False}
    tile = {"ROWS": 128, "OUT": 64, "IN": 64}
    code = compiled("product", 90, constants | tile, pointers, num_warps=8, num_stages=3)
    assert bool(NARROW.search(code)) is narrow


@pytest.mark.usefixtures("_own_cache")
def test_every_kernel_that_is_compiled_is_a_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that compiles some eighty of them says nothing else for minutes, and is not to be taken for hung."""
    from triton import knobs

    monkeypatch.setattr(knobs.compilation, "listener", None)
    told: list[str] = []
    on_compilation(lambda: told.append("compiled"))
    constants = {"CHANNELS_LAST": True, "BACK": False, "RUN": 16, "BLOCK": 1024}
    for block in (512, 1024):
        compiled("shift", 90, {**constants, "BLOCK": block}, dict.fromkeys(("source", "target"), "*fp16"))
    assert told == ["compiled"] * 2
