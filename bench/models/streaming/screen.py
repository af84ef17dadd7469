"""The present frame on the terminal: a table that is redrawn, or a line now and then where there is no terminal."""

import time
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

_LINE_EVERY = 1.0  # seconds
_DRAW_EVERY = 0.1  # seconds: the eye does not need more, and drawing takes time from the frames


class Screen(Protocol):
    """Shows rows of (what, value); called after every frame."""

    def __enter__(self) -> Self:
        """Begin."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""
        ...

    def show(self, rows: dict[str, str]) -> None:
        """The present state."""
        ...


class Silent:
    """For --json."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to take away."""

    def show(self, rows: dict[str, str]) -> None:
        """Nothing is shown."""


class Lines:
    """A line a second."""

    def __init__(self, console: Console) -> None:
        self._console, self._last = console, 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """What was printed stays."""

    def show(self, rows: dict[str, str]) -> None:
        """Print the state if the last line is old enough."""
        if time.monotonic() - self._last >= _LINE_EVERY:
            self._last = time.monotonic()
            told = "  ".join(f"{what} {value}" for what, value in rows.items())
            self._console.print(told, highlight=False, markup=False, soft_wrap=True)


class Redrawn:
    """A small table in place."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._last = 0.0

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, rows: dict[str, str]) -> None:
        """Draw the state anew if the last drawing is old enough."""
        if time.monotonic() - self._last < _DRAW_EVERY:
            return
        self._last = time.monotonic()
        table = Table.grid(padding=(0, 2))
        for what, value in rows.items():
            table.add_row(what, value)
        self._live.update(table, refresh=True)


def screen_for(console: Console, *, silent: bool) -> Screen:
    """What fits the output."""
    if silent:
        return Silent()
    return Redrawn(console) if console.is_terminal else Lines(console)
