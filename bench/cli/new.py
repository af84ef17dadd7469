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


def command(
    name: Annotated[str, typer.Argument(help="The new strategy's name.")],
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
        path.write_text(_TEMPLATE.format(name=name, cls=cls), encoding="utf-8")
    except OSError as error:
        raise ValueNotAllowed(f"cannot write {path}: {error.strerror}") from None
    where = "" if folder == session.BUILTIN else f" --strategies-dir {folder}"
    print(f"wrote {path}\nnext: change it, then  check {path}  and  run --preset smoke{where}")
    return 0
