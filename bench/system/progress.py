"""What the user sees while a sweep runs: one bar over all sections, with the time left."""

import time
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column

_PLAIN_INTERVAL = 20.0  # seconds between lines where the output is not a terminal
_TRUSTED_SHARE = 0.02  # of a section: before that, the speed is mostly the start of processes
_NOT_WORTH_SAYING = (
    30.0  # seconds by which the time left may grow before it is shown: a clock that steps back irritates
)
_COLUMNS = (  # a narrow terminal cuts the description and the bar, never the time left
    TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis", ratio=3)),
    BarColumn(bar_width=None, table_column=Column(ratio=1)),
    TextColumn("{task.percentage:>3.0f} %"),
    TextColumn("{task.fields[left]} left"),
)


class Reporter:
    """A bar on a terminal, a line now and then elsewhere, nothing where ``quiet``.

    It is drawn only when there is progress: a thread that redraws on its own would wake up inside timed slots.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._console = Console(stderr=True, quiet=quiet)
        self._expected: dict[str, float] = {}
        self._done: dict[str, float] = {}
        self._last_line, self._shown, self._left = 0.0, 0.0, float("inf")
        self._bar = Progress(*_COLUMNS, console=self._console, auto_refresh=False, transient=True, expand=True)
        self._task = self._bar.add_task("starting", total=1.0, left="?")
        if self._console.is_terminal and not quiet:
            self._bar.start()

    def expect(self, section: str, seconds: float) -> None:
        """A section is expected to take this long in all; may be corrected at any time."""
        self._expected[section] = max(seconds, 0.0)

    def advance(self, section: str, share: float, doing: str = "") -> None:
        """``share`` of the section is done."""
        self._done[section] = min(max(share, 0.0), 1.0)
        total = sum(self._expected.values()) or 1.0
        done = sum(seconds * self._done.get(name, 0.0) for name, seconds in self._expected.items())
        self._shown = max(self._shown, done / total)
        if not 0 < total - done - self._left < _NOT_WORTH_SAYING:
            self._left = total - done
        left = timedelta(seconds=int(self._left))
        label = f"{section}: {doing}" if doing else section
        if self._bar.live.is_started:
            self._bar.update(self._task, completed=self._shown, description=label, left=left, refresh=True)
        elif time.monotonic() - self._last_line >= _PLAIN_INTERVAL:
            self._last_line = time.monotonic()
            self.say(f"{100 * self._shown:3.0f} %  {left} left  {label}")

    def say(self, message: str) -> None:
        """One line that stays on the screen."""
        self._console.print(message, highlight=False, markup=False)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar.live.is_started:
            self._bar.stop()


class Shares:
    """Progress of a section's trainings that run side by side; the time expected follows the measured speed.

    work: {training: what it is expected to take, in any unit}. name: of what else it is that is done.
    """

    def __init__(self, section: str, work: dict[str, float], reporter: Reporter, name: str = "trainings") -> None:
        self._section, self._work, self._reporter, self._name = section, work, reporter, name
        self._done = dict.fromkeys(work, 0.0)
        self._start = time.monotonic()

    def report(self, training: str, share: float) -> None:
        """``share`` of a training is done."""
        self._done[training] = share
        done = sum(self._work[key] * own for key, own in self._done.items()) / sum(self._work.values())
        if done > _TRUSTED_SHARE:
            self._reporter.expect(self._section, (time.monotonic() - self._start) / done)
        finished = sum(own >= 1.0 for own in self._done.values())
        self._reporter.advance(self._section, done, f"{finished} of {len(self._work)} {self._name}")
