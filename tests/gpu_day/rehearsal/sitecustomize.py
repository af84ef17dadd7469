"""Every Python process of a rehearsal finds a CUDA device: the tests' simulated one. Python imports it by itself."""

import sys

import torch

if "deployed" not in sys.orig_argv:  # Inductor would ask the device itself
    torch.cuda.is_available = lambda: True
torch.cuda.get_device_capability = lambda *_: (9, 0)
torch.backends.cudnn.version = lambda: None

from bench.measure.latency import devices  # noqa: E402
from bench.models import runtimes  # noqa: E402
from bench.plugins import subject  # noqa: E402
from tests.measure.latency.simulated_gpu import SimulatedGpu  # noqa: E402

devices.CudaDevice = SimulatedGpu
_answers, _subject = runtimes.answers, subject.Subject
runtimes.answers = lambda device, cuda=torch.cuda: _answers("cpu", cuda)
subject.Subject = lambda make, reference, device, network=None: _subject(make, reference, "cpu", network)
