"""What the user sees while a sweep runs: one bar over all sections, with the time left."""

import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

_PLAIN_INTERVAL = 20.0  # seconds between lines where the output is not a terminal
_TRUSTED_SHARE = 0.02  # of a section: before that, the speed is mostly the start of processes


class Reporter:
    """Hears from the runner how far each section is. Here nothing is shown."""

    def expect(self, section: str, seconds: float) -> None:
        """A section is expected to take this long in all; may be corrected at any time."""

    def advance(self, section: str, share: float, doing: str = "") -> None:
        """``share`` of the section is done."""

    def say(self, message: str) -> None:
        """One line that stays on the screen."""

    def close(self) -> None:
        """No more will come."""


class Silent(Reporter):
    """For --quiet, --json and tests."""


class Bar(Reporter):
    """A bar on a terminal, a line now and then elsewhere.

    It is drawn only when there is progress: a thread that redraws on its own would wake up inside timed slots.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._expected: dict[str, float] = {}
        self._done: dict[str, float] = {}
        self._last_line = 0.0
        self._width = min(24, max(4, console.width - 40))  # a terminal of 40 columns still shows the time left
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=self._width),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[left]} left"),
            console=console,
            auto_refresh=False,
            transient=True,
        )
        self._task = self._bar.add_task("starting", total=1.0, left="?")
        if console.is_terminal:
            self._bar.start()

    def expect(self, section: str, seconds: float) -> None:
        """Shown with the next progress."""
        self._expected[section] = max(seconds, 0.0)
        self._done.setdefault(section, 0.0)

    def advance(self, section: str, share: float, doing: str = "") -> None:
        """Draw the bar anew."""
        self._done[section] = min(max(share, 0.0), 1.0)
        total = sum(self._expected.values()) or 1.0
        done = sum(self._expected.get(name, 0.0) * share for name, share in self._done.items())
        left = _clock(total - done)
        label = f"{section}: {doing}" if doing else section
        if self._console.is_terminal:
            room = max(12, self._console.width - 28 - self._width)
            self._bar.update(self._task, completed=done / total, description=label[:room], left=left)
            self._bar.refresh()
        elif time.monotonic() - self._last_line >= _PLAIN_INTERVAL:
            self._last_line = time.monotonic()
            self._console.print(f"{100 * done / total:3.0f} %  {left} left  {label}", highlight=False, markup=False)

    def say(self, message: str) -> None:
        """One line above the bar."""
        self._console.print(message, highlight=False, markup=False)

    def close(self) -> None:
        """Take the bar away."""
        if self._console.is_terminal:
            self._bar.stop()


class Shares:
    """Progress of a section's trainings that run side by side; the time expected follows the measured speed.

    work: {training: what it is expected to take, in any unit}.
    """

    def __init__(self, section: str, work: dict[str, float], reporter: Reporter) -> None:
        self._section, self._work, self._reporter = section, work, reporter
        self._done = dict.fromkeys(work, 0.0)
        self._start = time.monotonic()

    def report(self, training: str, share: float) -> None:
        """``share`` of a training is done."""
        self._done[training] = share
        done = sum(self._work[key] * own for key, own in self._done.items()) / sum(self._work.values())
        if done > _TRUSTED_SHARE:
            self._reporter.expect(self._section, (time.monotonic() - self._start) / done)
        finished = sum(own >= 1.0 for own in self._done.values())
        self._reporter.advance(self._section, done, f"{finished} of {len(self._work)} trainings")


def _clock(seconds: float) -> str:
    """``12:34`` or ``1:02:03``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
