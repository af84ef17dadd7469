"""Whether a Triton kernel can take a tensor, and the reason why not. Imports no Triton itself."""

import functools
import importlib.util

import torch
from torch import Tensor

_DTYPES = (torch.float32, torch.float16, torch.bfloat16)
_LEAST_CAPABILITY = (8, 0)  # what Triton supports on NVIDIA devices
_MOST_ELEMENTS = 2**31 - 1  # the kernels count elements in 32 bits


@functools.cache
def why_not() -> str | None:
    """A sentence that says why no Triton kernel can run on this machine's CUDA device; None where one can.

    Where there is no CUDA device, only Triton is asked for.
    """
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed; PyTorch for Linux brings it"
    if torch.cuda.is_available() and (capability := torch.cuda.get_device_capability()) < _LEAST_CAPABILITY:
        needed, found = (".".join(map(str, version)) for version in (_LEAST_CAPABILITY, capability))
        return f"Triton needs a CUDA device of compute capability {needed}, and this one has {found}"
    return None


@functools.cache
def interpreted() -> bool:
    """Triton's interpreter is on (``TRITON_INTERPRET=1``): kernels run on CPU tensors, slowly, in numpy."""
    if why_not():
        return False
    from triton import knobs

    return bool(knobs.runtime.interpret)


def takes(*tensors: Tensor, written: int = 0) -> bool:
    """All ``tensors`` can go into a kernel: on a CUDA device (or interpreted), fp32, fp16 or bf16, 1 to 2^31 elements.

    written: the elements that the kernel will write. What cannot takes the operator's path in plain torch, which
    computes the same.
    """
    return why_not() is None and all(
        (tensor.is_cuda or interpreted())
        and tensor.dtype in _DTYPES
        and 0 < tensor.numel() <= _MOST_ELEMENTS
        and written <= _MOST_ELEMENTS
        for tensor in tensors
    )
