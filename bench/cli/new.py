"""``new``: a documented strategy that passes ``check``, ready to be changed."""

from pathlib import Path
from typing import Annotated

import typer

from bench.cli import session
from bench.spec.axes import ValueNotAllowed

_TEMPLATE = '''"""{name}: say here what the idea is, and what it should cost or buy."""

from torch import Tensor

from bench.strategy import Strategy


class {cls}(Strategy):
    """One line that says what moves where: it is shown in lists and reports."""

    name = "{name}"
    source = ""  # a paper, a repository and file, or empty
    # same_function_as = "copy_shift"  # where this is the same function, faster: then it is proven, and not trained

    def shift(self, clip: Tensor) -> Tensor:
        """[N, T, C, H, W] -> the same shape. Must not overwrite ``clip``: the shortcut still needs it.

        As it stands: the first group of channels comes from the previous frame, the rest stays.
        """
        moved = self.channels_each_way(clip.shape[2])
        out = clip.clone()
        out[:, 1:, :moved] = clip[:, :-1, :moved]
        out[:, :1, :moved] = 0
        return out
'''

_LEARNABLE = '''"""{name}: say here what the idea is, and what it should cost or buy."""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from bench.strategy import Parameter, Site, Strategy, as_clip


class {cls}(Strategy):
    """One line that says what frames tell each other: it is shown in lists and reports."""

    name = "{name}"
    source = ""  # a paper, a repository and file, or empty
    fractions = (1.0,)  # it reads all channels
    kernel = Parameter(3, (3, 5), "frames that the gate looks at")  # --strategies "{name}[kernel=3,5]" sweeps it

    def refuses(self, channels: int) -> str | None:
        """Why a place where so many channels are read is left as it is; None: it is taken."""
        return "it gates 8 channels at least" if channels < 8 else None

    def wrap(self, block: nn.Module, site: Site, num_segments: int) -> nn.Module:
        """The gate before the site's layer (residual) or before the whole block (in-place); none at fraction 0.

        As it stands: each channel of each frame is weighed by what it and its neighbours hold on average.
        """
        if self.fraction == 0:
            return block
        layer = site.layer(block)
        net = block if self.placement == "inplace" else layer
        past = self.kernel - 1 if self.direction == "unidirectional" else self.kernel // 2
        gate = _Gated(net, site.channels(block), num_segments, self.kernel, past)
        weight = next(layer.parameters())
        gate.over_time.to(weight.device, weight.dtype)
        return gate if self.placement == "inplace" else site.replace(block, gate)


class _Gated(nn.Module):
    """Weigh the frames, then run ``net``. past: how many of the ``kernel`` frames lie before the present one."""

    def __init__(self, net: nn.Module, channels: int, num_segments: int, kernel: int, past: int) -> None:
        super().__init__()
        self.net, self.num_segments, self.around = net, num_segments, (past, kernel - 1 - past)
        self.over_time = nn.Conv1d(channels, channels, kernel, groups=channels)  # starts as PyTorch draws it

    def forward(self, frames: Tensor) -> Tensor:
        """[N*T, C, H, W] -> what ``net`` makes of the weighed frames."""
        means = as_clip(frames, self.num_segments).mean((3, 4)).transpose(1, 2)  # [N, C, T]
        gate = torch.sigmoid(self.over_time(pad(means, self.around))).transpose(1, 2).flatten(0, 1)  # [N*T, C]
        gated: Tensor = self.net(frames * gate[:, :, None, None])
        return gated
'''


def command(
    name: Annotated[str, typer.Argument(help="The new strategy's name.")],
    learnable: Annotated[bool, typer.Option("--learnable", help="One that learns: a gate, with a parameter.")] = False,
    to: Annotated[Path | None, typer.Option(help="The folder to write it into; by default strategies/.")] = None,
) -> int:
    """Write NAME.py: a documented strategy that passes check, ready to be changed."""
    if not name.isidentifier() or name.startswith("_"):
        raise ValueNotAllowed(
            f"{name!r} cannot be a strategy's name; use letters, digits and underscores, like two_back"
        )
    folder = to or session.strategies()
    path = folder / f"{name}.py"
    if path.exists():
        raise ValueNotAllowed(f"{path} exists already; choose another name")
    cls = "".join(part.capitalize() for part in name.split("_"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        template = _LEARNABLE if learnable else _TEMPLATE
        path.write_text(template.format(name=name, cls=cls), encoding="utf-8")
    except OSError as error:
        raise ValueNotAllowed(f"cannot write {path}: {error.strerror}") from None
    where = "" if folder == session.BUILTIN else f" --strategies-dir {folder}"
    print(f"wrote {path}\nnext: change it, then  check {path}  and  run --preset smoke{where}")
    return 0
