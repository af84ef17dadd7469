"""One of the suite's claims, judged from estimates that were made up."""

from typing import Any

from bench.analysis.aa_control import AAControl, AAControls
from bench.analysis.arms import Arm
from bench.analysis.claims import Verdict, judge, load_claims
from bench.analysis.evidence import Evidence
from bench.analysis.overheads import Overhead, slopes
from bench.spec.panel import Panel
from bench.stats.estimators import Estimate

EXACT = frozenset({"copy_shift", "buffer_shift"})


def twins(percent: float, *panels: Panel) -> AAControls:
    """Controls that are certified at 0 %, and off beyond 0.5."""
    return AAControls({panel: AAControl(panel, Estimate(percent, 0.05, 7, 8)) for panel in panels})


def verdicts(claim: str, *measured: Overhead | Arm, **more: Any) -> dict[str, Verdict]:
    """{subject: verdict} on one of the suite's claims, from overheads and arms."""
    timed = [one for one in measured if isinstance(one, Overhead)]
    certified = twins(0.0, *(one.case.panel for one in timed))
    arms = [one for one in measured if isinstance(one, Arm)]
    plain: dict[str, Any] = {"overheads": timed, "slopes": slopes(timed), "arms": arms, "exact": EXACT}
    plain["controls"] = certified
    claims = [one for one in load_claims() if one.id == claim]
    found = judge(claims, Evidence(**{**plain, **more}))
    assert len({one.id for one in found}) == len(found)
    return {one.subject: one for one in found}


def verdict(claim: str, *measured: Overhead | Arm, **more: Any) -> Verdict:
    """The only one."""
    (found,) = verdicts(claim, *measured, **more).values()
    return found
