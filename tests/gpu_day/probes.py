"""``python -m tests.gpu_day.probes STEP --out FILE``: what the day with a GPU asks beside its runs.

``proof``: the kernels in the shapes and dtypes in which they are timed. ``probes``: what a measurement must know of
this device. ``deployed``: networks as people run them, folded or compiled. ``faults``: whether a run blamed those who
broke something. A file is written anew after each answer, so that a step that is cut short keeps what it has.
"""

import argparse
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from bench import models
from bench.measure.latency.builder import PanelBuilder
from bench.measure.latency.devices import Call, Device, device_for
from bench.measure.latency.timing import Replays
from bench.measure.latency.traffic import CopyCurve
from bench.models.runtimes import Poisoned
from bench.models.runtimes.cudagraph import captured
from bench.ops.triton_operators import interpreted, shift_conv
from bench.plugins.discovery import load_class, strategy_files
from bench.spec.panel import Panel
from bench.store.journal import read_records
from bench.store.records import TimedRecord
from bench.strategy import Strategy
from bench.system import workers

DAY = Panel("resnet50", "cuda", "cudagraph", "fp16", "channels_last", 4, 8, 224, 1)
REHEARSAL = replace(DAY, backbone="resnet18", threads=1, frames=2, size=32)
MIB = (1, 2, 4, 8, 16, 32, 64, 128, 256)
PROVEN = [  # the cases of latency.toml, the cheapest to compile first
    *(("placed_shift", fraction) for fraction in (0.25, 1.0, 0.125, 0.5, 0.0)),
    *(("triton_shift", fraction) for fraction in (0.25, 1.0)),
    *(("triton_conv", fraction) for fraction in (0.25, 0.0)),
]
LITE = "timm:tf_efficientnet_lite0"
DEPLOYED = [  # (network, batch), the most important first; what is folded stands beside what is not
    *((network, batch) for batch in (1, 32, 8) for network in ("resnet50", "folded:resnet50")),
    *((network, batch) for batch in (1, 32, 8) for network in ("mobilenet_v2", "folded:mobilenet_v2")),
    *((network, batch) for batch in (1, 32, 8) for network in (LITE, f"folded:{LITE}")),
]
ARMS = ("no_shift", "copy_shift", "placed_shift")  # of them, the shifts at 1/4
REPEATS = 7  # of which the median is told

Answers = Iterator[tuple[str, Any]]


def made(name: str, fraction: float) -> Strategy:
    return load_class(name, strategy_files())(fraction)


def median(device: Device, call: Call) -> float:
    """Seconds."""
    clock = device.clock()
    return sorted(clock(call)[0] for _ in range(REPEATS))[REPEATS // 2]


def replayed(device: Device, call: Callable[[], Any], times: int = 20) -> float:
    """Seconds of one ``call``, captured and replayed many times in a row."""
    return median(device, Replays(captured(call, device.cuda)[0], times)) / times


def proof(panel: Panel, device: Device) -> Answers:
    """Every kernel that is timed, against copy_shift, block by block and as a whole; a graph against eager."""
    for dtype in ("fp16", "bf16"):
        builder = PanelBuilder(replace(panel, dtype=dtype), device, 0)
        for name, fraction in PROVEN:
            start = time.monotonic()
            try:
                with torch.inference_mode():
                    strategy, reference = made(name, fraction), made("copy_shift", fraction)
                    builder.build(strategy, "cudagraph", None, runs=1, prove=True, reference=reference)
                found = "; ".join(["proven", *strategy.fallbacks])
            except Poisoned:
                raise
            except Exception as error:
                found = workers.one_line(error)
            yield f"{name} {fraction:g} {dtype}", [found, round(time.monotonic() - start, 2)]


def probes(panel: Panel, device: Device) -> Answers:
    """Launches, kernels, products, copies, what NVML and autotuning cost, and what the compiler made of the hints."""
    yield "backend", device.freeze()
    yield "sensors", device.sensors()
    start = time.perf_counter()
    for _ in range(20):
        device.sensors()
    yield "seconds to read all sensors", (time.perf_counter() - start) / 20
    builder = PanelBuilder(panel, device, 0)
    plain = made("no_shift", 0.0)
    with torch.inference_mode():
        for benchmark in (False, True):  # what people deploy may be faster than what can be repeated
            torch.backends.cudnn.benchmark = benchmark
            _, call = builder.build(plain, "cudagraph", None, runs=1, prove=False)
            device.warm_up([call])
            for times in (1, 20):
                seconds = median(device, Replays(call.call, times)) / times
                yield f"baseline, {times} replays, cudnn.benchmark {benchmark}", seconds
        torch.backends.cudnn.benchmark = False
        yield "copies", CopyCurve(device.torch_device, MIB, device.cuda).measure(device.clock())
        for name in ("no_shift", "copy_shift", "placed_shift", "triton_shift", "triton_conv"):
            model, _ = builder.build(
                made(name, 0.0 if name == "no_shift" else 0.25), "eager", None, runs=1, prove=False
            )
            yield f"kernels of {name}", kernels(lambda model=model: model(builder.frames))
        yield from products(panel, device)
    yield "code", compiled_code()
    yield "sensors afterwards", device.sensors()


def kernels(call: Callable[[], Any]) -> int:
    """How many kernels one forward launches."""
    activities = [
        torch.profiler.ProfilerActivity.CUDA
        if torch.version.cuda and torch.cuda.device_count()
        else torch.profiler.ProfilerActivity.CPU
    ]
    with torch.profiler.profile(activities=activities) as profile:
        call()
        if torch.cuda.device_count():
            torch.cuda.synchronize()
    return sum(event.device_type == torch.autograd.DeviceType.CUDA for event in profile.events())


def products(panel: Panel, device: Device) -> Answers:
    """Seconds of every conv1 of the network: cuDNN's, Triton's with nothing moved, and with a quarter moved."""
    builder, seen = PanelBuilder(panel, device, 0), dict[tuple[int, ...], tuple[Tensor, Tensor]]()

    def see(layer: Any, given: tuple[Tensor, ...]) -> None:
        if layer.kernel_size == (1, 1) and layer.stride == (1, 1):
            seen.setdefault((*given[0].shape, layer.out_channels), (given[0].clone(), layer.weight))

    network = builder._network
    for parent, name, site in models.sites(network):
        site.layer(parent.get_submodule(name)).register_forward_pre_hook(see)
    network(builder.frames)
    for shape, (frames, weight) in seen.items():
        fold = shape[1] // 8
        own = {
            "cudnn": lambda x=frames, w=weight: conv2d(x, w),
            "triton, still": lambda x=frames, w=weight: shift_conv(x, w, None, panel.frames, 0, 0),
            "triton, 1/4": lambda x=frames, w=weight, f=fold: shift_conv(x, w, None, panel.frames, f, f),
        }
        yield f"conv1 {list(shape)}", {name: replayed(device, call) for name, call in own.items()}


def compiled_code() -> dict[str, dict[str, int]]:
    """{kernel: how often its code loads 16 bytes, stores 16 bytes, loads 2 bytes, multiplies with wgmma or mma}."""
    if interpreted():
        return {}
    from bench.ops import triton_code

    found: dict[str, dict[str, int]] = {}
    wanted = {"wide": r"ld\.global\.v4|cp\.async\.cg\.\S+ \[[^]]*\], \[[^]]*\], 0x10", "stored": r"st\.global\.v4"}
    wanted |= {
        "narrow": r"ld\.global\.b16",
        "wgmma": r"wgmma\.mma_async",
        "mma": r"mma\.sync",
        "local": r"[ls][dt]\.local",
    }
    for name in ("shift", "product", "finish", "move"):
        for cache in getattr(triton_code, name).device_caches.values():
            for kernel in cache[0].values():
                code = kernel.asm["ptx"]
                for what, pattern in wanted.items():
                    own = found.setdefault(name, dict.fromkeys(wanted, 0))
                    own[what] += len(re.findall(pattern, code))
    return found


def deployed(panel: Panel, device: Device, until: float) -> Answers:
    """Seconds of a replay of networks as people deploy them: ResNet-50 folded, then compiled, then the rest."""
    networks = DEPLOYED if panel == DAY else [(panel.backbone, 1), (f"folded:{panel.backbone}", 1)]
    yield from replays(panel, device, networks[:4], until)
    yield from compiled(panel, device, "default", until)
    yield from replays(panel, device, networks[4:], until)
    yield from compiled(panel, device, "max-autotune-no-cudagraphs", until)


def replays(panel: Panel, device: Device, networks: list[tuple[str, int]], until: float) -> Answers:
    """Seconds of a replay of each arm in each of ``networks``."""
    warm = False
    for backbone, batch in networks:
        if time.monotonic() > until:
            yield f"{backbone}, batch {batch}", "no time was left"
            continue
        builder, found = PanelBuilder(replace(panel, backbone=backbone, batch=batch), device, 0), dict[str, float]()
        with torch.inference_mode():
            for name in ARMS:
                strategy = made(name, 0.0 if name == "no_shift" else 0.25)
                _, call = builder.build(strategy, "cudagraph", None, runs=1, prove=False)
                if not warm:
                    device.warm_up([call])
                    warm = True
                found[name] = median(device, Replays(call.call, 20)) / 20
        yield f"{backbone}, batch {batch}", found


def compiled(panel: Panel, device: Device, mode: str, until: float) -> Answers:
    """Seconds of a replay of what torch.compile makes in ``mode``, weights frozen."""
    builder = PanelBuilder(panel, device, 0)
    with torch._inductor.config.patch(freezing=True):
        for name in ARMS:
            if time.monotonic() > until:
                yield f"{name}, {mode}", "no time was left"
                continue
            found: dict[str, Any] = {}
            try:
                with torch.inference_mode():
                    strategy, start = made(name, 0.25 if name != "no_shift" else 0.0), time.monotonic()
                    model, _ = builder.build(strategy, "eager", None, runs=1, prove=False)
                    forward = torch.compile(model, dynamic=False, mode=None if mode == "default" else mode)
                    forward(builder.frames)
                    found["compiling"] = round(time.monotonic() - start, 1)
                    found["seconds"] = replayed(device, lambda forward=forward: forward(builder.frames))
            except Poisoned:
                raise
            except Exception as error:
                found["failed"] = workers.one_line(error)
            yield f"{name}, {mode}", found


EXPECTED = {  # of the run with faults: (strategy, runtime) -> what its reason must say; None: it was measured
    **{(name, runtime): None for name in ("no_shift", "copy_shift") for runtime in ("eager", "cudagraph")},
    **{("illegal_access", runtime): "broke the device" for runtime in ("eager", "cudagraph")},
    **{("counts_on_the_host", "eager"): None, ("counts_on_the_host", "cudagraph"): "cannot be captured"},
}


def faults(folder: Path) -> Answers:
    """Who was blamed for what. Raises SystemExit where it was somebody else."""
    ended: dict[tuple[str, str], str | None] = {}
    for record in read_records(folder):
        if isinstance(record, TimedRecord):
            ended[record.case.variant.strategy, record.case.panel.runtime] = record.reason
    wrong = []
    for key, words in EXPECTED.items():
        found = ended.get(key, "not on record")
        right = found is None if words is None else words in (found or "")
        yield " ".join(key), ["as it should be" if right else "WRONG", found]
        wrong += [] if right else [key]
    if wrong:
        raise SystemExit(f"somebody else was blamed: {wrong}")


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("step", choices=("proof", "probes", "deployed", "faults"))
    asked.add_argument("--out", type=Path, required=True)
    asked.add_argument("--run", type=Path)
    asked.add_argument("--seconds", type=float, default=3600.0)
    given = asked.parse_args()
    device = device_for("cuda")
    panel = DAY if device.torch_device == "cuda" else REHEARSAL
    answers = {
        "proof": lambda: proof(panel, device),
        "probes": lambda: probes(panel, device),
        "deployed": lambda: deployed(panel, device, time.monotonic() + given.seconds),
        "faults": lambda: faults(given.run),
    }[given.step]()
    told: dict[str, Any] = {}
    for name, answer in answers:
        print(f"{name}: {answer}")
        told[name] = answer
        given.out.write_text(json.dumps(told, indent=1, default=str))


if __name__ == "__main__":
    main()
