"""How much memory a stream takes as it goes on and on: ``python -m tests.scripts.memory_of_a_stream [FRAMES]``.

Prints the resident size of the process after every tenth of the frames (100,000 unless told) of 16² through
digits_resnet with a causal shift, two streams of which one begins anew now and then, and what is held in tensors.
"""

import gc
import sys

import psutil
import torch

from bench import models
from bench.plugins.discovery import load_class, strategy_files

FRAMES = 100_000
RESET_EVERY = 97


def resident_mib(frames: int = FRAMES) -> list[float]:
    """MiB after each tenth of the frames."""
    torch.set_num_threads(1)
    strategy = load_class("buffer_shift", strategy_files())(1 / 8, "residual", "unidirectional")
    online = models.go_online(strategy, models.build("digits_resnet", 1))
    process, state, seen = psutil.Process(), None, []
    pictures = torch.randn(8, 2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        for t in range(1, frames + 1):
            _, state = online.step(pictures[t % len(pictures)].clone(), state)
            if t % RESET_EVERY == 0:
                state = state.reset([1])
            if t % (frames // 10) == 0:
                gc.collect()
                seen.append(process.memory_info().rss / 2**20)
    return seen


if __name__ == "__main__":
    sizes = resident_mib(int(sys.argv[1]) if len(sys.argv) > 1 else FRAMES)
    print(", ".join(f"{size:.1f}" for size in sizes), "MiB resident, after each tenth of the frames")
