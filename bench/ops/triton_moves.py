"""Moved channels shifted in their own memory on a GPU in one launch, put back in another: Triton kernels or copies.

``move_`` reads and writes each moved element once, 2 F (F = the bytes of what moves), and ``put_back_`` as often; what
falls off a clip's ends lies aside meanwhile. What stays is not touched. None of it has been timed yet.

Both are given what moves and no more, a view [N*T, moved, H, W] of the first channels of frames, so that whoever counts
traffic sees what there is. The first ``ahead`` of them hold the next frame, all others the previous (``back``: the
opposite way); zeros beyond a clip's ends. What lies aside is [N, moved, H, W], in the layout of the frames.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from bench.ops.frames import Group, groups_of, set_aside
from bench.ops.in_place import FrameByFrame
from bench.ops.triton_operators import takes, triton_shift
from bench.strategy import as_clip

_MOST_FRAMES = 128  # of a clip, all of which a program holds in its registers


@torch.library.custom_op("shiftbench::move_", mutates_args=("moved",))
def move_(moved: Tensor, num_segments: int, ahead: int, back: bool = False, keep: bool = False) -> Tensor:
    """Shift ``moved`` in its own memory. With ``keep``, what falls off is returned, else a tensor without channels."""
    clip, fallen = as_clip(moved, num_segments), set_aside(moved, num_segments, keep * moved.shape[1])
    if lies := _kernel_takes(moved, num_segments):
        from bench.ops import triton_launch

        triton_launch.move(moved, *lies, num_segments, ahead, back, None, fallen if keep else None)
        return fallen
    parts = FrameByFrame().shift(clip, _groups(moved, ahead, back))
    if keep and parts:
        fallen.copy_(torch.cat(parts, dim=1))
    return fallen


@move_.register_fake
def _(moved: Tensor, num_segments: int, ahead: int, back: bool = False, keep: bool = False) -> Tensor:
    as_clip(moved, num_segments)
    return set_aside(moved, num_segments, keep * moved.shape[1])


@torch.library.custom_op("shiftbench::put_back_", mutates_args=("moved",))
def put_back_(moved: Tensor, fallen: Tensor, num_segments: int, ahead: int, back: bool = False) -> None:
    """Undo ``move_`` exactly; fallen: what it returned."""
    clip = as_clip(moved, num_segments)
    if lies := _kernel_takes(moved, num_segments):
        from bench.ops import triton_launch

        triton_launch.move(moved, *lies, num_segments, ahead, not back, fallen, None)
        return
    groups = _groups(moved, ahead, back)
    FrameByFrame().restore(clip, groups, [fallen[:, group.channels] for group in groups])


@put_back_.register_fake
def _(moved: Tensor, fallen: Tensor, num_segments: int, ahead: int, back: bool = False) -> None:
    as_clip(moved, num_segments)


class InOneLaunch(FrameByFrame):
    """All groups at once by ``move_`` and ``put_back_``."""

    def shift(self, clip: Tensor, groups: Sequence[Group]) -> list[Tensor]:
        """What fell off is one tensor [N, moved, H, W], of all groups."""
        return [move_(_moved(clip, groups), clip.shape[1], *_way(groups), True)] if groups else []

    def restore(self, clip: Tensor, groups: Sequence[Group], fallen: Sequence[Tensor]) -> None:
        """One launch."""
        if groups:
            put_back_(_moved(clip, groups), fallen[0], clip.shape[1], *_way(groups))

    def shifted(self, clip: Tensor, groups: Sequence[Group]) -> Tensor:
        """Read once and written once, instead of a copy that is moved."""
        if not groups:
            return clip.clone()
        (ahead, back), behind = _way(groups), groups[-1].last - groups[0].last
        out: Tensor = triton_shift(clip.flatten(0, 1), clip.shape[1], ahead, behind, back)
        return out.view_as(clip)


def _moved(clip: Tensor, groups: Sequence[Group]) -> Tensor:
    """The channels of ``clip`` [N, T, C, H, W] that move, as a view [N*T, moved, H, W].

    Raises RuntimeError where the frames do not follow one another in memory at one distance.
    """
    return clip.view(clip.shape[0] * clip.shape[1], *clip.shape[2:])[:, : groups[-1].last]


def _way(groups: Sequence[Group]) -> tuple[int, bool]:
    """(ahead, back) of ``moved_groups`` or of their opposites: one group, or two that move opposite ways."""
    return groups[0].last, groups[0].offset < 0


def _groups(moved: Tensor, ahead: int, back: bool) -> list[Group]:
    return [group.opposite if back else group for group in groups_of(ahead, moved.shape[1] - ahead)]


def _kernel_takes(moved: Tensor, num_segments: int) -> tuple[int, bool] | None:
    """(channels of a whole frame, channels_last) where ``moved`` lies in frames without gaps that a kernel takes."""
    if num_segments > _MOST_FRAMES or not takes(moved, written=moved.shape[0] * moved.stride(0)):
        return None
    height, width = moved.shape[2:]
    channels = moved.stride(0) // (height * width)
    for channels_last in (False, True):
        inner = (1, width * channels, channels) if channels_last else (height * width, width, 1)
        expected = zip(moved.shape, moved.stride(), (channels * height * width, *inner), strict=True)
        if channels >= moved.shape[1] and all(size == 1 or stride == want for size, stride, want in expected):
            return channels, channels_last
    return None
