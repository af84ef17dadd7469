"""Right or wrong, clip by clip, as text: how a record keeps which clips a network got right."""

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]


def pack(bits: Bools) -> str:
    """Bits [N] as hexadecimal text, the first one highest, filled up with zeros to whole bytes."""
    return np.packbits(bits).tobytes().hex()


def unpack(text: str, count: int) -> Bools:
    """The inverse of ``pack``: the first ``count`` bits."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8), count=count).astype(np.bool_)
