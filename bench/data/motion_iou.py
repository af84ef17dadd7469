"""How fast an object is: motion IoU, and the three groups of ImageNet-VID (Zhu et al., FGFA, ICCV 2017, section 4)."""

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float32]

SLOW_ABOVE, FAST_BELOW = 0.9, 0.7
NEARBY = 10  # frames either way


def iou(first: Boxes, second: Boxes) -> NDArray[np.float64]:
    """Of boxes [..., 4] as x1, y1, x2, y2, pairwise after broadcasting; 0 for those of no area."""
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    both = _area(np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:]))
    union = _area(a[..., :2], a[..., 2:]) + _area(b[..., :2], b[..., 2:]) - both
    share: NDArray[np.float64] = np.divide(both, union, out=np.zeros(both.shape), where=union > 0)
    return share


def _area(low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
    area: NDArray[np.float64] = np.clip(high - low, 0, None).prod(axis=-1)
    return area


def motion_iou(boxes: Boxes) -> NDArray[np.float64]:
    """Of boxes [M, T, 4]: each box's IoU with the object's boxes at most ``NEARBY`` frames off, averaged to [M].

    1 for a clip of one frame.
    """
    times = np.arange(boxes.shape[1])
    apart = np.abs(times[:, None] - times)
    near = (apart > 0) & (apart <= NEARBY)
    if not near.any():
        return np.ones(len(boxes))
    mean: NDArray[np.float64] = iou(boxes[:, :, None], boxes[:, None, :])[:, near].mean(axis=1)
    return mean


def speed_groups(motion: NDArray[np.float64]) -> NDArray[np.intp]:
    """Of each motion IoU [M], an index of ``store.samples.SPEEDS``."""
    return np.where(motion > SLOW_ABOVE, 0, np.where(motion < FAST_BELOW, 2, 1))
