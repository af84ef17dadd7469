"""A 1×1 convolution as matrix products that read each channel group from the frame where it already lies.

With W split by input channel into W_still and one W_g for each moved group, and x_t the channels of frame t,

    y_t = W_still x_t[still] + sum over groups g of W_g x_(t + offset_g)[g]

so nothing is copied: a shift is only another address. Beyond a clip's ends the term is left out, as its features are
zeros. The products of one group of frames follow one another while their sum still lies in the cache.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bench.ops.frames import Group, autocast, empty_like_with, is_channels_last, memory_format, moved_groups
from bench.ops.in_place import FrameByFrame, ShiftedInPlace
from bench.strategy import Recurrent, Site, Strategy, gradients_wanted, keep

Product = Callable[[Tensor, Tensor, Sequence[Group], int], Tensor]
"""``multiply``, or what computes the same: frames, weight [C', C], groups, num_segments."""

_SUM_BYTES = 1 << 20  # of y at a time: what stays in a core's cache while the products are added up


def takes(layer: nn.Module) -> bool:
    """Whether ``layer`` is a convolution that is a matrix product: 1×1, stride 1, one group, no padding, no hooks."""
    if type(layer) is not nn.Conv2d or layer._forward_hooks or layer._forward_pre_hooks:
        return False
    shape = (layer.kernel_size, layer.stride, layer.groups)
    return shape == ((1, 1), (1, 1), 1) and layer.padding in ((0, 0), "valid", "same")


class ShiftedProduct(nn.Module):
    """A 1×1 convolution ``net`` of shifted frames, whose keys (``….net.weight``) are those of the released code.

    product: what computes it in inference; training takes ``multiply``, whose gradients are known.
    """

    def __init__(self, net: nn.Conv2d, groups: Sequence[Group], num_segments: int, product: Product) -> None:
        super().__init__()
        self.net, self.groups, self.num_segments, self.product = net, tuple(groups), num_segments, product

    def forward(self, frames: Tensor) -> Tensor:
        """[N*T, C, H, W] -> [N*T, C', H, W] in the same memory format."""
        weight, bias = self.net.weight, self.net.bias
        if gradients_wanted():
            tensors = autocast(frames, weight.flatten(1))
            with torch.autocast(frames.device.type, enabled=False):
                out: Tensor = _Product.apply(*tensors, self.groups, self.num_segments)
        else:
            out = self.product(frames, weight.flatten(1), self.groups, self.num_segments)
        return out if bias is None else out.add_(bias.to(out.dtype)[:, None, None])


class ProductOfPast(Recurrent):
    """The same frame by frame: the product of the first ``fold`` channels reads what was kept of the previous frame."""

    def __init__(self, net: nn.Conv2d, fold: int) -> None:
        super().__init__()
        self.net, self.fold = net, fold

    def remembers(self, channels: int) -> int:
        """The channels that move."""
        return self.fold

    def step(self, frame: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """[S, C, H, W] -> [S, C', H, W] in the same memory format; nothing of ``frame`` is copied but what is kept."""
        weight, bias, rows = self.net.weight.flatten(1), self.net.bias, is_channels_last(frame)
        out = empty_like_with(frame, len(weight))
        _product(_matrix(out, rows), _matrix(frame, rows), weight, slice(self.fold, None), rows, add=False)
        before = past.contiguous(memory_format=memory_format(frame))
        _product(_matrix(out, rows), _matrix(before, rows), weight[:, : self.fold], slice(None), rows, add=True)
        kept = keep(frame, list(range(self.fold)))
        return (out if bias is None else out.add_(bias[:, None, None])), kept


def multiply(frames: Tensor, weight: Tensor, groups: Sequence[Group], num_segments: int) -> Tensor:
    """The convolution of shifted ``frames`` [N*T, C, H, W] with ``weight`` [C', C]: [N*T, C', H, W]."""
    rows = is_channels_last(frames)
    x, out = _matrix(frames, rows), empty_like_with(frames, len(weight))
    y = _matrix(out, rows)
    most = max(1, _SUM_BYTES // (y[0].numel() * y.element_size()))
    # a divisor of T, so that no frames that are taken at once belong to two clips
    at_once = max(n for n in range(1, num_segments + 1) if num_segments % n == 0 and n <= most)
    for first in range(0, len(frames), at_once):
        some = slice(first, first + at_once)
        _product(y[some], x[some], weight, _still(groups), rows, add=False)
        for group in groups:
            for targets, sources in group.pairs(first, first + at_once, num_segments):
                _product(y[targets], x[sources], weight, group.channels, rows, add=True)
    return out


def install(
    strategy: Strategy,
    block: nn.Module,
    site: Site,
    num_segments: int,
    product: Product = multiply,
    mover: type[FrameByFrame] = FrameByFrame,
) -> nn.Module:
    """``block`` with products in place of its layer at ``site``; before any other layer ``mover`` shifts in place."""
    layer: nn.Conv2d = site.layer(block)  # type: ignore[assignment]
    groups = moved_groups(strategy.channels_each_way(layer.in_channels), strategy.direction)
    if takes(layer):
        site.replace(block, ShiftedProduct(layer, groups, num_segments, product))
    elif groups:
        strategy.fall_back(f"{site.path} is no 1×1 matrix product: its channels were moved in their own memory")
        site.replace(block, ShiftedInPlace(layer, groups, num_segments, mover(), restore=True))
    return block


def _product(out: Tensor, x: Tensor, weight: Tensor, channels: slice, rows: bool, *, add: bool) -> None:
    """One group's part of some frames' sum, written or added to ``out``."""
    own = weight[:, channels]
    if rows:
        flat, of = out.flatten(0, 1), x[:, :, channels].flatten(0, 1)
        _ = torch.addmm(flat, of, own.t(), out=flat) if add else torch.mm(of, own.t(), out=flat)
    else:
        each, of = own.expand(len(out), -1, -1), x[:, channels]
        _ = torch.baddbmm(out, each, of, out=out) if add else torch.bmm(each, of, out=out)


class _Product(torch.autograd.Function):
    """``multiply``; its gradients, too, read and write each group in the frame where it lies."""

    @staticmethod
    def forward(ctx: Any, frames: Tensor, weight: Tensor, groups: Sequence[Group], num_segments: int) -> Tensor:
        ctx.save_for_backward(frames, weight)
        ctx.groups, ctx.num_segments = groups, num_segments
        return multiply(frames, weight, groups, num_segments)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        frames, weight = ctx.saved_tensors
        rows, count = is_channels_last(frames), len(frames)
        x, dy = _matrix(frames, rows), _matrix(grads[0].contiguous(memory_format=memory_format(frames)), rows)
        of_frames = torch.zeros_like(frames) if ctx.needs_input_grad[0] else None  # what nobody read keeps its zeros
        of_weight = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
        pieces = [(_still(ctx.groups), slice(0, count), slice(0, count))]
        for group in ctx.groups:
            for first in range(0, count, ctx.num_segments):
                pairs = group.pairs(first, first + ctx.num_segments, ctx.num_segments)
                pieces += [(group.channels, targets, sources) for targets, sources in pairs]
        for channels, targets, sources in pieces:
            arrived, own = dy[targets], weight[:, channels]
            if of_frames is not None:
                dx = _matrix(of_frames, rows)[sources]
                if rows:
                    torch.mm(arrived.flatten(0, 1), own, out=dx[:, :, channels].flatten(0, 1))
                else:
                    torch.bmm(own.t().expand(len(arrived), -1, -1), arrived, out=dx[:, channels])
            if of_weight is not None and rows:
                of_weight[:, channels] += arrived.flatten(0, 1).t() @ x[sources, :, channels].flatten(0, 1)
            elif of_weight is not None:
                of_weight[:, channels] += (arrived @ x[sources, channels].mT).sum(0)
        return of_frames, of_weight, None, None


def _still(groups: Sequence[Group]) -> slice:
    """The channels that stay."""
    return slice(groups[-1].last if groups else 0, None)


def _matrix(frames: Tensor, rows: bool) -> Tensor:
    """A view: [M, H*W, C] of channels_last frames (``rows``: a pixel's channels side by side), else [M, C, H*W]."""
    return frames.permute(0, 2, 3, 1).flatten(1, 2) if rows else frames.flatten(2)
