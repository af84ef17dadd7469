"""A 1×1 convolution as matrix products that read each channel group from the frame where it already lies.

With W split by input channel into W_still and one W_g for each moved group, and x_t the channels of frame t,

    y_t = W_still x_t[still] + sum over groups g of W_g x_(t + offset_g)[g]

so nothing is copied: a shift is only another address. Beyond a clip's ends the term is left out, as its features are
zeros. The products of one group of frames follow one another while their sum still lies in the cache.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bench.ops.groups import Group
from bench.strategy import Recurrent, gradients_wanted, keep

Product = Callable[[Tensor, Tensor, Sequence[Group], int], Tensor]
"""``multiply``, or what computes the same: frames, weight [C', C], groups, num_segments."""

_SUM_BYTES = 1 << 20  # of y at a time: what stays in a core's cache while the products are added up


def takes(layer: nn.Module) -> bool:
    """Whether ``layer`` is a convolution that is a matrix product: 1×1, stride 1, one group, no padding, no hooks."""
    if type(layer) is not nn.Conv2d or layer._forward_hooks or layer._forward_pre_hooks:
        return False
    return (
        layer.kernel_size == (1, 1)
        and layer.stride == (1, 1)
        and layer.groups == 1
        and layer.padding in ((0, 0), "valid", "same")
    )


class ShiftedProduct(nn.Module):
    """A 1×1 convolution ``net`` of shifted frames; its weights keep the released code's keys (``….net.weight``).

    product: what computes it in inference; training takes ``multiply``, whose gradients are known.
    """

    def __init__(
        self, net: nn.Conv2d, groups: Sequence[Group], num_segments: int, product: Product | None = None
    ) -> None:
        super().__init__()
        self.net, self.groups, self.num_segments = net, tuple(groups), num_segments
        self.product = product or multiply

    def forward(self, frames: Tensor) -> Tensor:
        """[N*T, C, H, W] -> [N*T, C', H, W] in the same memory format."""
        weight, bias = self.net.weight, self.net.bias
        if gradients_wanted():
            device = frames.device.type
            if torch.is_autocast_enabled(device):
                dtype = torch.get_autocast_dtype(device)
                frames, weight = frames.to(dtype), weight.to(dtype)
            with torch.autocast(device, enabled=False):
                out: Tensor = _Product.apply(frames, weight.flatten(1), self.groups, self.num_segments)
        else:
            out = self.product(frames, weight.flatten(1), self.groups, self.num_segments)
        return out if bias is None else out.add_(bias.to(out.dtype)[:, None, None])


class ProductOfPast(Recurrent):
    """The same frame by frame: the moved channels' product reads what was kept of the previous frame.

    fold: how many of the first channels move.
    """

    def __init__(self, net: nn.Conv2d, fold: int) -> None:
        super().__init__()
        self.net, self.fold = net, fold

    def remembers(self, channels: int) -> int:
        """The channels that move."""
        return self.fold

    def step(self, frame: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """[S, C, H, W] -> [S, C', H, W] in the same memory format; nothing of ``frame`` is copied but what is kept."""
        weight, bias, rows = self.net.weight.flatten(1), self.net.bias, _lies_in_rows(frame)
        out = empty_output(frame, weight)
        still = slice(self.fold, frame.shape[1])
        _product(_matrix(out, rows), _matrix(frame, rows), weight, still, rows, add=False)
        before = past.contiguous(memory_format=_layout(rows))
        _product(_matrix(out, rows), _matrix(before, rows), weight[:, : self.fold], slice(None), rows, add=True)
        kept = keep(frame, list(range(self.fold)))
        return (out if bias is None else out.add_(bias[:, None, None])), kept


def multiply(frames: Tensor, weight: Tensor, groups: Sequence[Group], num_segments: int) -> Tensor:
    """The convolution of shifted ``frames`` [N*T, C, H, W] with ``weight`` [C', C]: [N*T, C', H, W]."""
    rows = _lies_in_rows(frames)
    x = _matrix(frames, rows)
    out = empty_output(frames, weight)
    y = _matrix(out, rows)
    at_once = _frames_at_once(y, num_segments)
    for first in range(0, len(frames), at_once):
        some = slice(first, first + at_once)
        _product(y[some], x[some], weight, _still(frames.shape[1], groups), rows, add=False)
        for group in groups:
            low, high = group.targets(first, first + at_once, num_segments)
            if low < high:
                sources = slice(low + group.offset, high + group.offset)
                _product(y[low:high], x[sources], weight, group.channels, rows, add=True)
    return out


def empty_output(frames: Tensor, weight: Tensor) -> Tensor:
    """[N*T, C', H, W] in the memory format of ``frames``, not filled."""
    shape, layout = (len(frames), len(weight), *frames.shape[2:]), _layout(_lies_in_rows(frames))
    return torch.empty(shape, dtype=frames.dtype, device=frames.device, memory_format=layout)


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
        rows, count = _lies_in_rows(frames), len(frames)
        x, dy = _matrix(frames, rows), _matrix(grads[0].contiguous(memory_format=_layout(rows)), rows)
        of_frames = torch.zeros_like(frames) if ctx.needs_input_grad[0] else None
        of_weight = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
        pieces = [(_still(frames.shape[1], ctx.groups), [(slice(0, count), slice(0, count))])]
        pieces += [(group.channels, list(_pairs(group, count, ctx.num_segments))) for group in ctx.groups]
        for channels, pairs in pieces:
            for targets, sources in pairs:
                if of_frames is not None:
                    _input_gradient(_matrix(of_frames, rows)[sources], dy[targets], weight, channels, rows)
                if of_weight is not None:
                    of_weight[:, channels] += _weight_gradient(x[sources], dy[targets], channels, rows)
        return of_frames, of_weight, None, None


def _input_gradient(dx: Tensor, dy: Tensor, weight: Tensor, channels: slice, rows: bool) -> None:
    """Written to the frames that were read; those that nobody read keep their zeros."""
    if rows:
        torch.mm(dy.flatten(0, 1), weight[:, channels], out=dx[:, :, channels].flatten(0, 1))
    else:
        torch.bmm(weight[:, channels].t().expand(len(dy), -1, -1), dy, out=dx[:, channels])


def _weight_gradient(x: Tensor, dy: Tensor, channels: slice, rows: bool) -> Tensor:
    """[C', channels of the group], summed over frames and positions."""
    if rows:
        return dy.flatten(0, 1).t() @ x[:, :, channels].flatten(0, 1)
    return (dy @ x[:, channels].mT).sum(0)


def _still(channels: int, groups: Sequence[Group]) -> slice:
    """The channels that stay."""
    return slice(groups[-1].last if groups else 0, channels)


def _pairs(group: Group, frames: int, num_segments: int) -> Iterator[tuple[slice, slice]]:
    """(frames that receive, frames that are read), clip by clip."""
    for first in range(0, frames, num_segments):
        low, high = group.targets(first, first + num_segments, num_segments)
        if low < high:
            yield slice(low, high), slice(low + group.offset, high + group.offset)


def _lies_in_rows(frames: Tensor) -> bool:
    """channels_last: a pixel's channels lie side by side."""
    return not frames.is_contiguous() and frames.is_contiguous(memory_format=torch.channels_last)


def _layout(rows: bool) -> torch.memory_format:
    return torch.channels_last if rows else torch.contiguous_format


def _matrix(frames: Tensor, rows: bool) -> Tensor:
    """[M, H*W, C] of channels_last frames, [M, C, H*W] of all others: a view of what lies in one of the two layouts."""
    return frames.permute(0, 2, 3, 1).flatten(1, 2) if rows else frames.flatten(2)


def _frames_at_once(out: Tensor, num_segments: int) -> int:
    """A divisor of T, so that no group of frames reaches into two clips."""
    most = max(1, _SUM_BYTES // (out[0].numel() * out.element_size()))
    return max(n for n in range(1, num_segments + 1) if num_segments % n == 0 and n <= most)
