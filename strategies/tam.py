"""TAM: each video has temporal kernels of its own.

From the spatial means of the features two small branches compute, for each clip, a kernel per channel over ``kernel``
frames (global branch: two linear layers over the clip's frames, softmax) and an importance per channel and frame
(local branch: two convolutions over time, sigmoid). Features are weighted with their importance and convolved over
time with their kernel. The kernel's weights sum to one and importances begin around 1/2, so a pre-trained network
is not kept.

What it adds, per place with C channels, T frames, K = ``kernel``: 2 T² + 2 K T + 4 T parameters of the global
branch and (K + 1) C² / 4 + C / 2 of the local one; 2 K FLOPs per feature, element by element (which no counter
of operators sees), and per clip those of the branches. Traffic: N for the means, 2 N for the own frame and 3 N
for each other one (N = the bytes of the features).

Differences from the authors' code: theirs multiplies by the importance first, then runs one grouped convolution of
N * C groups over a transposed copy; here both weights are multiplied with each other, which is small, and frames
with their product. Theirs exists in bottlenecks only, before conv2: there it stands here too; in other blocks it
stands where a shift stands. It knows its number of frames: a checkpoint fits clips of that length only.
"""

from torch import Tensor, nn

from bench.strategy import Parameter, as_clip

from ._family import ModuleBefore, from_frame, too_few


class TAM(ModuleBefore):
    """A temporal kernel of its own for every clip and channel (TAM, TANet)."""

    name = "tam"
    source = "TAM, arXiv 2005.06803; github.com/liu-zhy/temporal-adaptive-module, ops/temporal_module.py"
    fractions = (1.0,)  # it weighs every channel
    inside = True
    kernel = Parameter(3, (3, 5, 7), "frames that each frame is mixed from")

    def refuses(self, channels: int) -> str | None:
        """The local branch works on a quarter of the channels."""
        return too_few(channels, 4)

    def module(self, channels: int, num_segments: int) -> nn.Module:
        """Both branches, and the mixing."""
        return _AdaptiveKernels(channels, num_segments, self.kernel)


class _AdaptiveKernels(nn.Module):
    def __init__(self, channels: int, num_segments: int, kernel: int) -> None:
        super().__init__()
        t, few = num_segments, channels // 4
        self.num_segments, self.reach = num_segments, kernel // 2
        self.kernels = nn.Sequential(
            nn.Linear(t, 2 * t, bias=False),
            nn.BatchNorm1d(2 * t),
            nn.ReLU(inplace=True),
            nn.Linear(2 * t, kernel, bias=False),
            nn.Softmax(-1),
        )
        self.importance = nn.Sequential(
            nn.Conv1d(channels, few, kernel, padding=kernel // 2, bias=False),
            nn.BatchNorm1d(few),
            nn.ReLU(inplace=True),
            nn.Conv1d(few, channels, 1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, frames: Tensor) -> Tensor:
        """[N*T, C, H, W] -> the same shape; beyond a clip's ends there are zeros."""
        clip = as_clip(frames, self.num_segments)
        means = clip.mean((3, 4)).transpose(1, 2)  # [N, C, T]
        kernels = self.kernels(means.flatten(0, 1)).unflatten(0, means.shape[:2])  # [N, C, K]
        importance = self.importance(means).transpose(1, 2)[..., None, None]  # [N, T, C, 1, 1]
        taps = kernels.to(clip.dtype)[:, None, :, :, None, None].unbind(3)  # K times [N, 1, C, 1, 1]
        importance = importance.to(clip.dtype)
        mixed: Tensor = clip * (importance * taps[self.reach])
        for offset in range(1, self.reach + 1):
            before = from_frame(importance, -offset) * taps[self.reach - offset]
            after = from_frame(importance, offset) * taps[self.reach + offset]
            mixed[:, offset:].addcmul_(clip[:, :-offset], before[:, offset:])
            mixed[:, :-offset].addcmul_(clip[:, offset:], after[:, :-offset])
        return mixed.flatten(0, 1)
