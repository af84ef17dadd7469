"""Which variant to take: the best accuracy, reached by the cheapest mechanism that computes it."""

from bench.report.contest import contest_of
from bench.report.cost import overhead_text
from bench.report.figures.pareto import Offer, paired
from bench.report.numbers import Estimate, channels_text, fixed, listed
from bench.report.selection import Row, Tables, arms, line_text, panel_text, panels, rows, timed
from bench.spec.cases import Panel


def choice_sentences(tables: Tables) -> list[str]:
    """A recommendation with its price and its gain, and which others this run cannot tell from it."""
    trained, shifting = rows(arms(tables.accuracy)), panels(timed(tables.latency))
    if not trained or not shifting:
        return [_half(tables, trained)] if trained or shifting else []
    offers = [offer for offer in paired(tables) if offer.case["fraction"]]
    if not offers:
        return ["No trained arm was also timed, so accuracy and cost cannot be weighed against each other here."]
    top = max(offer.joint.value for offer in offers)
    best_arm = [offer for offer in offers if offer.joint.value == top]
    ways = _ways(tables, shifting[0][0], [offer.case for offer in best_arm])
    case = ways[0]
    if not best_arm[0].joint.has_interval:
        told = f"highest here is {_name(best_arm[0].case)} with {fixed(top)} % joint accuracy"
        return [f"No recommendation: without an interval of the accuracy no arm is shown to be better; {told}."]
    base = [offer for offer in paired(tables) if not offer.case["fraction"]]
    if base and base[0].joint.overlaps(best_arm[0].joint):
        return [
            "No shift: no arm that was timed is separated from the network without one, so there is nothing to buy."
        ]
    taken = next(offer for offer in best_arm if offer.case is case)
    where = f" ({panel_text(shifting[0][0])})" if len(shifting) > 1 else ""
    sentences = [
        f"Take {_name(case)}: {overhead_text(case)} latency for "
        f"{taken.joint.text(signed=False)} joint accuracy, the best of what was both trained and timed{where}."
    ]
    if len(ways) > 1:
        sentences.append(
            f"Equally fast as far as this run can tell: {listed([str(row['strategy']) for row in ways[1:]])}."
        )
    return sentences + _cheaper(taken, offers) + _untimed(trained, top)


def _ways(tables: Tables, panel: Panel, cases: list[Row]) -> list[Row]:
    """The case with the least overhead, then those that this run cannot tell from it."""
    ordered = sorted(cases, key=lambda row: float(row["overhead_pct"]))
    contest = contest_of(tables, panel, ordered[0])
    if contest is not None and contest.decided and contest.rows[0]["strategy"] == ordered[0]["strategy"]:
        tied = [row["strategy"] for row in contest.tied]
        return [ordered[0], *(row for row in ordered[1:] if row["strategy"] in tied)]
    best = Estimate.of(ordered[0], "overhead")
    return [ordered[0], *(row for row in ordered[1:] if best.overlaps(Estimate.of(row, "overhead")))]


def _cheaper(taken: Offer, offers: list[Offer]) -> list[str]:
    """An alternative that is separated in cost but not in accuracy would be the better choice: name it."""
    rivals = [
        offer
        for offer in offers
        if offer.overhead.value < taken.overhead.value
        and not offer.overhead.overlaps(taken.overhead)
        and offer.joint.has_interval
        and offer.joint.overlaps(taken.joint)
    ]
    if not rivals:
        return []
    rival = min(rivals, key=lambda offer: offer.overhead.value)
    joint = rival.joint.text(signed=False)
    return [
        f"Cheaper and not separated in accuracy: {_name(rival.case)}, {overhead_text(rival.case)} latency, {joint}."
    ]


def _untimed(trained: list[Row], top: float) -> list[str]:
    best = max(trained, key=lambda arm: float(arm["joint_mean_pct"]))
    if float(best["joint_mean_pct"]) <= top:
        return []
    accuracy = Estimate.of(best, "joint", "joint_mean_pct").text(signed=False)
    return [f"The best arm of all, {_name(best)} ({accuracy}), was not timed."]


def _half(tables: Tables, trained: list[Row]) -> str:
    if trained:
        return "Latency was not measured here: the accuracy above says which variant is best, not at what price."
    return (
        "Accuracy was not measured here, so this run can only say what is cheap. The paper's choice is residual "
        "placement with 1/4 of the channels."
    )


def _name(row: Row) -> str:
    return f"{line_text(row['strategy'], row['placement'], row['direction'])}, {channels_text(float(row['fraction']))}"
