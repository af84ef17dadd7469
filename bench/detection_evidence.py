"""The pickers of claims about online detection: what a shift from the past adds, and to which objects most."""

from typing import Any

from bench.detections import Form, frame_by_frame
from bench.evidence import Evidence, Finding, Picker


def _online(evidence: Evidence) -> list[Form]:
    return [form for form in evidence.forms if form.name == "online" and form.variant.strategy in evidence.exact]


def _named(form: Form, several: bool) -> str:
    variant = form.variant
    return f"{variant.strategy} {variant.placement} {variant.fraction}" if several else ""


def detection_gain(where: dict[str, Any], evidence: Evidence) -> list[Finding]:
    """Mean average precision of each online form over the detector frame by frame, in points."""
    base, online = frame_by_frame(evidence.forms), _online(evidence)
    if base is None:
        return []
    return [
        Finding(
            _named(form, len(online) > 1),
            [list(form.deltas(base, "map").values())],
            ["gain"],
            _why_not(evidence, form, base),
        )
        for form in online
    ]


def detection_gain_by_speed(where: dict[str, Any], evidence: Evidence) -> list[Finding]:
    """How much more each online form adds for fast objects than for medium and for slow ones, in points."""
    base, online = frame_by_frame(evidence.forms), _online(evidence)
    if base is None:
        return []
    found = []
    for form in online:
        gains = {speed: form.deltas(base, f"map_{speed}") for speed in ("slow", "medium", "fast")}
        more = [
            [gains["fast"][seed] - value for seed, value in gains[other].items() if seed in gains["fast"]]
            for other in ("medium", "slow")
        ]
        names = ("fast over medium", "fast over slow")
        found.append(Finding(_named(form, len(online) > 1), more, names, _why_not(evidence, form, base)))
    return found


def _why_not(evidence: Evidence, form: Form, base: Form) -> str | None:
    """Why a form must not be judged: seeds do not fail by chance alone."""
    for one in (form, base):
        if one.variant in evidence.failed_forms:
            return f"a seed of {one.variant.label} failed: {evidence.failed_forms[one.variant]}"
    return None


PICKERS: dict[str, Picker] = {picker.__name__: picker for picker in (detection_gain, detection_gain_by_speed)}
