"""Moved channels shifted inside their own memory, and put back where the shortcut needs them.

Traffic (F = the bytes of a group): 4 F to shift two groups, as each moved byte is read and written once, and as much
for the way back. Nothing else is touched, so the shortcut is exact, bit by bit.

Autograd keeps what a layer reads, so a clip must not stay overwritten while gradients are recorded. A convolution
becomes one differentiable operation together with its shift: the clip is shifted, read and put back, forward and
backward, and the gradient is shifted back in its own memory. Before anything else (a whole block, say) the shift copies
the tensor once, and its gradient once.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from bench.ops.frames import Group, autocast, moved_groups
from bench.strategy import Recurrent, Site, Strategy, as_clip, gradients_wanted, keep


class FrameByFrame:
    """Moves bytes with PyTorch's own copies: frame t + 1 is read before it is overwritten, without a buffer.

    clip: [N, T, C, H, W], contiguous or channels_last within each frame; it is overwritten.
    """

    def shift(self, clip: Tensor, groups: Sequence[Group]) -> list[Tensor]:
        """Shift ``groups``. Returns the frames that fell off the ends, one tensor per group."""
        fallen = []
        for group in groups:
            frames = group.of(clip).unbind(1)[:: group.offset]  # each receives the one after it
            fallen.append(frames[0].clone())
            for target, source in pairwise(frames):
                target.copy_(source)
            frames[-1].zero_()
        return fallen

    def restore(self, clip: Tensor, groups: Sequence[Group], fallen: Sequence[Tensor]) -> None:
        """Undo ``shift`` exactly."""
        for group, first in zip(groups, fallen, strict=True):
            frames = group.of(clip).unbind(1)[:: -group.offset]
            for target, source in pairwise(frames):
                target.copy_(source)
            frames[-1].copy_(first)

    def shifted(self, clip: Tensor, groups: Sequence[Group]) -> Tensor:
        """``clip`` shifted in a copy."""
        out = clip.clone()
        self.shift(out, groups)
        return out


def shifted(clip: Tensor, groups: Sequence[Group], mover: FrameByFrame) -> Tensor:
    """``clip`` [N, T, C, H, W] shifted in a copy; differentiable."""
    return _Shift.apply(clip, groups, mover)  # type: ignore[no-any-return]


class ShiftedInPlace(nn.Module):
    """Shift in the clip's own memory, run ``net``, and put the clip back where ``restore`` asks for it.

    net: what reads the shifted frames; its keys (``….net.weight``) are those of the released code.
    """

    def __init__(
        self, net: nn.Module, groups: Sequence[Group], num_segments: int, mover: FrameByFrame, *, restore: bool
    ) -> None:
        super().__init__()
        self.net, self.groups, self.num_segments = net, tuple(groups), num_segments
        self.mover, self.restore = mover, restore

    def forward(self, frames: Tensor) -> Tensor:
        """[N*T, C, H, W] -> what ``net`` makes of the shifted frames."""
        clip, net = as_clip(frames, self.num_segments), self.net
        if gradients_wanted():
            if not self.restore or not _is_plain_convolution(net):
                return net(shifted(clip, self.groups, self.mover).flatten(0, 1))  # type: ignore[no-any-return]
            tensors = autocast(frames, net.weight, net.bias)
            how = (net.stride, net.padding, net.dilation, net.groups), self.groups, self.num_segments, self.mover
            with torch.autocast(frames.device.type, enabled=False):
                return _ShiftedConvolution.apply(*tensors, *how)  # type: ignore[no-any-return]
        fallen = self.mover.shift(clip, self.groups)
        out: Tensor = net(frames)
        if self.restore:
            self.mover.restore(clip, self.groups, fallen)
        return out


class ExchangedInPlace(Recurrent):
    """Frame by frame: keep the first ``fold`` channels, put the previous frame's in their place, run ``net``.

    restore: whether the present frame's are put back afterwards.
    """

    def __init__(self, net: nn.Module, fold: int, *, restore: bool) -> None:
        super().__init__()
        self.net, self.fold, self.restore = net, fold, restore

    def remembers(self, channels: int) -> int:
        """The channels that move."""
        return self.fold

    def step(self, frame: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """Overwrites the moved channels of ``frame``; with ``restore`` they are there again at the end."""
        moved = frame[:, : self.fold]
        kept = keep(frame, list(range(self.fold)))
        moved.copy_(past)
        out: Tensor = self.net(frame)
        if self.restore:
            moved.copy_(kept)
        return out, kept


class MovesInPlace(Strategy):
    """A strategy that shifts in the clip's own memory; a subclass says with ``mover`` how the bytes move."""

    mover: FrameByFrame

    def reader(self, block: nn.Module, site: Site) -> Site:
        """The place in ``block`` whose layer reads the shifted features in residual placement.

        Features at the site itself are restored after it, as the shortcut reads them too.
        """
        return site

    def groups(self, channels: int) -> tuple[Group, ...]:
        """Of ``channels``, those that move."""
        return moved_groups(self.channels_each_way(channels), self.direction)

    def shift(self, clip: Tensor) -> Tensor:
        """[N, T, C, H, W] -> the same shape. Differentiable; does not overwrite ``clip``."""
        return shifted(clip, self.groups(clip.shape[2]), self.mover)

    def wrap(self, block: nn.Module, site: Site, num_segments: int) -> nn.Module:
        """Shift before the reading layer (residual: and restore after it) or before the block (in-place)."""
        place = self.reader(block, site)
        layer = place.layer(block)
        groups = self.groups(place.channels(block))
        if self.placement == "inplace":
            return ShiftedInPlace(block, groups, num_segments, self.mover, restore=False)
        place.replace(block, ShiftedInPlace(layer, groups, num_segments, self.mover, restore=place == site))
        return block

    def online(self, block: nn.Module, site: Site) -> nn.Module:
        """Exchange the moved channels with those of the frame before: three copies, whatever the mover."""
        place = self.reader(block, site)
        layer = place.layer(block)
        fold = self.channels_each_way(place.channels(block))
        if self.placement == "inplace":
            return ExchangedInPlace(block, fold, restore=False)
        place.replace(block, ExchangedInPlace(layer, fold, restore=place == site))
        return block


def _is_plain_convolution(net: nn.Module) -> TypeGuard[nn.Conv2d]:
    """A convolution that does nothing but convolve: zeros around, no hooks, numbers for its padding."""
    hooks = net._forward_hooks or net._forward_pre_hooks or net._backward_hooks or net._backward_pre_hooks
    return type(net) is nn.Conv2d and net.padding_mode == "zeros" and not isinstance(net.padding, str) and not hooks


class _Shift(torch.autograd.Function):
    """A copy, shifted; the gradient is copied once and shifted the other way."""

    @staticmethod
    def forward(ctx: Any, clip: Tensor, groups: Sequence[Group], mover: FrameByFrame) -> Tensor:
        ctx.groups, ctx.mover = [group.opposite for group in groups], mover
        return mover.shifted(clip, groups)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return ctx.mover.shifted(grads[0], ctx.groups), None, None


class _ShiftedConvolution(torch.autograd.Function):
    """A convolution of shifted frames that keeps the unshifted ones, which the shortcut keeps anyway."""

    @staticmethod  # settings: stride, padding, dilation, groups; moved: groups of channels, num_segments, mover
    def forward(ctx: Any, frames: Tensor, weight: Tensor, bias: Tensor | None, settings: Any, *moved: Any) -> Tensor:
        ctx.save_for_backward(frames, weight)
        ctx.settings, ctx.moved, ctx.biased = settings, moved, bias is not None
        groups, num_segments, mover = moved
        clip = as_clip(frames.data, num_segments)  # data: restored before anyone looks, so its version stays
        fallen = mover.shift(clip, groups)
        out = conv2d(frames, weight, bias, *settings)
        mover.restore(clip, groups, fallen)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        frames, weight = ctx.saved_tensors
        groups, num_segments, mover = ctx.moved
        stride, padding, dilation, parts = ctx.settings
        clip = as_clip(frames.data, num_segments)
        fallen = mover.shift(clip, groups)
        wanted = [*ctx.needs_input_grad[:2], ctx.biased and ctx.needs_input_grad[2]]
        of_frames, of_weight, of_bias = torch.ops.aten.convolution_backward(
            *(grads[0], frames, weight, [weight.shape[0]] if ctx.biased else None),
            *(stride, padding, dilation, False, [0, 0], parts, wanted),
        )
        mover.restore(clip, groups, fallen)
        if of_frames is not None:
            mover.shift(as_clip(of_frames, num_segments), [group.opposite for group in groups])
        return of_frames, of_weight, of_bias, None, None, None, None
