"""Strategy files that change one thing each that all cases share, and files that only look as if they did."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

PLUGIN = '''
import functools, gc, logging, math, os, random, signal, subprocess, sys, tempfile, threading, time

import numpy as np
import torch
from torch import nn

from bench.strategy import Strategy


def deed():
    {deed}


def in_a_thread():
    thread = threading.Thread(target=deed)
    thread.start()
    thread.join()


class Own(Strategy):
    """One frame from the past."""

    name = "{name}"

    def __init__(self, *arguments, **more):
        super().__init__(*arguments, **more)
        {init}

    def wrap(self, block, site, num_segments):
        {wrap}
        return super().wrap(block, site, num_segments)

    def shift(self, clip):
        {shift}
        moved = self.channels_each_way(clip.shape[2])
        out = clip.clone()
        out[:, 1:, :moved] = clip[:, :-1, :moved]
        out[:, :1, :moved] = 0
        return out


{load}
'''
STAGES = ("load", "init", "wrap", "shift", "thread")

MEDDLING = {
    "threads": "torch.set_num_threads(torch.get_num_threads() + 1)",
    "dtype": "torch.set_default_dtype(torch.float64)",
    "device": "torch.set_default_device('meta')",
    "gradients": "torch.set_grad_enabled(False)",
    "anomalies": "torch.autograd.set_detect_anomaly(True)",
    "autocast": "torch.set_autocast_enabled('cpu', True)",
    "seed": "torch.manual_seed(7)",
    "deterministic": "torch.use_deterministic_algorithms(True)",
    "products": "torch.set_float32_matmul_precision('medium')",
    "denormals": "torch.set_flush_denormal(True)",
    "oneDNN": "torch._C._set_mkldnn_enabled(False)",
    "cuDNN": "torch.backends.cudnn.enabled = False",
    "autotuning": "torch.backends.cudnn.benchmark = True",
    "hook": "nn.modules.module.register_module_forward_hook(lambda *_: None)",
    "OpenMP": "os.environ['OMP_NUM_THREADS'] = '17'",
    "oneDNN's variable": "os.environ['ONEDNN_MAX_CPU_ISA'] = 'SSE41'",
    "allocator": "os.environ['MALLOC_ARENA_MAX'] = '1'",
    "a GPU's variable": "os.environ['CUDA_LAUNCH_BLOCKING'] = '1'",
    "SIGTERM": "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
    "Ctrl-C": "signal.signal(signal.SIGINT, lambda *_: None)",
    "collection": "gc.disable()",
    "thresholds": "gc.set_threshold(7)",
    "trace": "sys.settrace(lambda *_: None)",
    "profile": "sys.setprofile(lambda *_: None)",
    "priority": "os.nice(1)",
    "cores": "os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])",
    "inductor": "import torch._inductor.config as c; c.realize_reads_threshold += 1",
    "dynamo": "import torch._dynamo.config as c; c.recompile_limit += 1",
    "a process": "subprocess.Popen(['sleep', '1000'])",
    "a process of its own session": "subprocess.Popen(['sleep', '1000'], start_new_session=True)",
    "an orphan": "subprocess.run(['sh', '-c', 'sleep 1000 >/dev/null 2>&1 &'])",
    "a thread": "threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()",
}
OF_ONE_THREAD = {  # what ends with the thread that does it, or is the main thread's alone
    *("threads", "device", "gradients", "autocast", "denormals", "SIGTERM", "Ctrl-C", "trace", "profile", "priority"),
    *("cores", "inductor", "dynamo"),
}
UNDONE = {  # inference ends, and with it what was set in it; so do the seeds of what a strategy builds
    *(("gradients", "shift"), ("autocast", "shift"), ("seed", "wrap")),
}

HARMLESS = (
    "print('loading', file=sys.stdout)",
    "logging.getLogger('own').warning('slow')",
    "torch.get_num_threads()",
    "n = torch.get_num_threads(); torch.set_num_threads(n + 1); torch.set_num_threads(n)",
    "torch.rand(3)",
    "np.random.default_rng(0).random()",
    "random.random()",
    "os.environ['OWN_SETTING'] = 'x'",
    "os.environ.get('OMP_NUM_THREADS')",
    "subprocess.run(['true'])",
    "gc.collect()",
    "math.gamma(5)",
    "tempfile.TemporaryFile().close()",
    "threading.Thread(target=int).start()",
    "time.sleep(0)",
    "functools.lru_cache(int)",
    "signal.getsignal(signal.SIGINT)",
    "nn.Linear(3, 3)(torch.zeros(1, 3))",
    "sys.getrecursionlimit()",
    "[torch.zeros(8) for _ in range(3)]",
)
TIDY = (  # around a harmless deed: what is set for a while only
    "{0}",
    "with torch.no_grad(): {0}",
    "with torch.inference_mode(): {0}",
    "with torch.random.fork_rng(devices=[]): torch.manual_seed(3); {0}",
    "with torch.autocast('cpu', dtype=torch.bfloat16, enabled=False): {0}",
)


@dataclass(frozen=True)
class Plugin:
    """A file: its code, where in it something is done, and what."""

    name: str
    code: str
    stage: str
    what: str


def meddlers(count: int) -> Iterator[Plugin]:
    """Each thing at each stage where it lasts, in turn."""
    able = [
        (what, stage)
        for what, stage in product(MEDDLING, STAGES)
        if not (stage == "thread" and what in OF_ONE_THREAD) and (what, stage) not in UNDONE
    ]
    for number in range(count):
        what, stage = able[number % len(able)]
        yield plugin(f"meddler_{number}", MEDDLING[what], stage, what)


def harmless(count: int) -> Iterator[Plugin]:
    """What honest files do, drawn."""
    rng = random.Random(0)
    for number in range(count):
        what = rng.choice(TIDY).format(rng.choice(HARMLESS))
        yield plugin(f"harmless_{number}", what, STAGES[number % len(STAGES)], what)


def plugin(name: str, deed: str, stage: str, what: str) -> Plugin:
    places = {own: "deed()" if own == stage else "pass" for own in STAGES[:4]}
    if stage == "thread":
        places["shift"] = "in_a_thread()"
    return Plugin(name, PLUGIN.format(name=name, deed=deed, **places), stage, what)
