"""The pickers of claims about online detection: what a shift from the past adds, and to which objects most."""

from collections.abc import Iterator
from typing import Any

from bench.analysis.detectors import Form, frame_by_frame
from bench.analysis.evidence import Evidence, Finding, Picker
from bench.data.speed import SPEEDS


def detection_gain(where: dict[str, Any], evidence: Evidence) -> list[Finding]:
    """Mean average precision of each online form over the detector frame by frame, in points."""
    return [
        _finding(name, evidence, form, base, [form.deltas(base, "map")], ["gain"])
        for name, form, base in _pairs(evidence)
    ]


def detection_gain_by_speed(where: dict[str, Any], evidence: Evidence) -> list[Finding]:
    """What each online form adds for fast objects, and how much more than for medium and for slow ones, in points.

    All three: where it takes from all and least from the fast ones, no gain is largest.
    """
    found = []
    for name, form, base in _pairs(evidence):
        slow, medium, fast = (form.deltas(base, f"map_{speed}") for speed in SPEEDS)
        more = [{seed: fast[seed] - value for seed, value in other.items() if seed in fast} for other in (medium, slow)]
        names = ["gain for fast objects", "fast over medium", "fast over slow"]
        found.append(_finding(name, evidence, form, base, [fast, *more], names))
    return found


def _pairs(evidence: Evidence) -> Iterator[tuple[str, Form, Form]]:
    """(its name where there are several, an online form, frame by frame); candidates of a recipe are none of them."""
    usual = [form for form in evidence.forms if form.condition.lr_factor == form.condition.length_factor == 1]
    online = [form for form in usual if form.name == "online" and form.variant.strategy in evidence.exact]
    base = frame_by_frame(usual)
    if base is None:
        return
    for form in online:
        variant = form.variant
        full = f"{variant.strategy} {variant.placement} {variant.fraction}"
        yield full if len(online) > 1 else "", form, base


def _finding(
    name: str, evidence: Evidence, form: Form, base: Form, differences: list[dict[int, float]], names: list[str]
) -> Finding:
    if not all(differences):
        return Finding(name, missing="no seed was trained in both forms")
    return Finding(name, [list(one.values()) for one in differences], names, _why_not(evidence, form, base))


def _why_not(evidence: Evidence, form: Form, base: Form) -> str | None:
    """Why a form must not be judged: seeds do not fail by chance alone."""
    for one in (form, base):
        if lost := evidence.lost_seeds.get((one.variant, one.condition)):
            return f"{one.variant.label}: {lost}"
    return None


PICKERS: dict[str, Picker] = {picker.__name__: picker for picker in (detection_gain, detection_gain_by_speed)}
