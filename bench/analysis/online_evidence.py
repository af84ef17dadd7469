"""The pickers of claims about streams: what a frame costs, and what a stream must remember."""

from dataclasses import asdict
from typing import Any

from bench.analysis.evidence import Evidence, Finding, Picker
from bench.spec.axes import channels_moved, parse_fraction
from bench.spec.cases import BASELINE_VARIANT, Case, StreamPanel

_PAPER_PANEL = {"backbone": "resnet50", "size": 224, "streams": 1}
_PLAIN_PANEL = {"runtime": "eager", "dtype": "fp32", "memory_format": "nchw"}
_MIB = 1 << 20
_FP32_BYTES = 4
_SITES = {
    "conv1": "before conv1, where the released code shifts",
    "conv2": "before conv2, the narrow part of the bottleneck",
}


def _is_papers(case: Case) -> bool:
    wanted = {**_PAPER_PANEL, **_PLAIN_PANEL}
    return isinstance(case.panel, StreamPanel) and all(getattr(case.panel, name) == wanted[name] for name in wanted)


def online_overhead(where: dict[str, Any], evidence: Evidence) -> list[Finding]:
    """What a frame costs with each exact mechanism and placement at one fraction, in the paper's network."""
    fraction, failed = parse_fraction(where["fraction"]), evidence.online_failed

    def fits(case: Case) -> bool:
        return _is_papers(case) and case.variant.fraction == fraction and case.variant.strategy in evidence.exact

    fitting = [overhead for overhead in evidence.online if fits(overhead.case) and overhead.case not in failed]
    broken = {case: why for case, why in failed.items() if fits(case)}
    settings = [asdict(case.panel) for case in (*(o.case for o in fitting), *broken)]

    def subject(case: Case) -> str:
        own = asdict(case.panel)
        telling = [f"{key} {own[key]}" for key in own if len({other[key] for other in settings}) > 1]
        return f"{case.variant.strategy} {case.variant.placement}" + (f" ({', '.join(telling)})" if telling else "")

    return [
        *(Finding(subject(o.case), [o.per_process_pct], ["overhead"], evidence.online_suspect) for o in fitting),
        *(Finding(subject(case), invalid=f"the case failed: {why}") for case, why in broken.items()),
    ]


def cache_size(where: dict[str, Any], evidence: Evidence) -> list[Finding]:
    """The bytes that one stream remembers at one fraction, for each place where a bottleneck block could shift.

    They follow from what the layers read, which the static pass records. In MiB, rounded to one decimal as the paper
    prints it.
    """
    fraction, statics = parse_fraction(where["fraction"]), evidence.online_statics
    papers = {case: samples for case, samples in statics.items() if _is_papers(case)}
    network = next((samples for case, samples in papers.items() if case.variant == BASELINE_VARIANT), None)
    if network is None:
        return []
    measured: dict[int, list[str]] = {}
    for case, samples in papers.items():
        if case.variant.fraction == fraction:
            names = measured.setdefault(samples["state_bytes"], [])
            names.append(f"{case.variant.strategy} {case.variant.placement}")
    found = []
    for site, words in _SITES.items():
        moved = [
            channels_moved(channels, float(fraction), "unidirectional") * height * width
            for channels, height, width in network["inputs"][site]
        ]
        size = _FP32_BYTES * sum(moved)
        found.append(Finding(site, [[round(size / _MIB, 1)]], ["cache"], note=_sized(words, size, measured.get(size))))
    return found


def _sized(words: str, size: int, holders: list[str] | None) -> str:
    told = f"{words[0].upper()}{words[1:]}: {size:,} bytes, {size / 1e6:.2f} MB or {size / _MIB:.2f} MiB"
    held = f"held in this run by {', '.join(holders)}" if holders else "derived, as no stream of this run holds that"
    return f"{told}, {held}. Compared in MiB, to one decimal as the paper prints it."


PICKERS: dict[str, Picker] = {picker.__name__: picker for picker in (online_overhead, cache_size)}
