"""What the doctor says, and how it looks in a terminal."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Severity = Literal["ok", "note", "warning"]

_ORDER: tuple[Severity, ...] = ("warning", "note", "ok")
_INDENT = " " * 9  # the width of "warning: "


class Unknown(Exception):
    """A check that cannot be made on this system; the message names what was to be looked at, in a few words."""


@dataclass(frozen=True)
class Advice:
    """One thing looked at.

    what: one sentence with the figure seen. effect: what it does to a measurement. remedy: what the user can do; ``ok``
    has neither. A ``warning`` widens intervals or shifts results; a ``note`` is what to know when results are compared.
    """

    severity: Severity
    what: str
    effect: str = ""
    remedy: str = ""


def ok(what: str) -> list[Advice]:
    """Looked at, and in order."""
    return [Advice("ok", what)]


def note(what: str, effect: str, remedy: str) -> Advice:
    """To know when results are compared."""
    return Advice("note", what, effect, remedy)


def warning(what: str, effect: str, remedy: str) -> Advice:
    """Widens intervals or shifts results."""
    return Advice("warning", what, effect, remedy)


def lines(advice: Iterable[Advice]) -> list[str]:
    """For a terminal, the most severe first: three lines for each thing found, and one for all that is in order."""
    ordered = sorted(advice, key=lambda item: _ORDER.index(item.severity))
    text = [
        line
        for item in ordered
        if item.severity != "ok"
        for line in (
            f"{item.severity + ':':9}{item.what}",
            f"{_INDENT}effect: {item.effect}",
            f"{_INDENT}do: {item.remedy}",
        )
    ]
    fine = "; ".join(item.what for item in ordered if item.severity == "ok")
    if not text:
        return ["nothing found that would disturb a measurement" + (f" ({fine})" if fine else "")]
    return [*text, f"{'ok:':9}{fine}"] if fine else text


def one_line(text: str, width: int = 60) -> str:
    """A stranger's text (the name of a process, the value of a variable) for display: printable, one line, short."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    shown = " ".join(printable.split())
    return shown if len(shown) <= width else shown[: width - 1] + "…"
