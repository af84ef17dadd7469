"""The accuracy half of a synthetic run: arms under all conditions, learning curves and controls; nothing is trained."""

from collections.abc import Sequence
from typing import Any

ACCURACIES = {
    ("residual", 1 / 8): (90.7, 95.5, 87.1),
    ("residual", 1 / 4): (90.8, 89.9, 82.1),
    ("residual", 1 / 2): (86.1, 77.6, 66.5),
    ("residual", 1.0): (81.5, 77.6, 63.4),
    ("inplace", 1 / 8): (89.6, 89.2, 80.4),
    ("inplace", 1 / 4): (88.4, 92.9, 82.9),
    ("inplace", 1 / 2): (76.5, 94.6, 73.0),
    ("inplace", 1.0): (84.6, 42.7, 36.1),
}
"""Spatial, temporal and joint accuracy in per cent."""
CAUSAL = {1 / 8: (91.0, 91.2, 83.6), 1 / 4: (90.3, 90.1, 81.7), 1 / 2: (85.2, 80.0, 68.1), 1.0: (80.0, 70.3, 56.6)}
BASELINE_ACCURACY = (94.8, 25.0, 23.7)
PARTS = ("spatial", "temporal", "joint")
USUAL = {
    "dataset": "ring_digits",
    "backbone": "digits_resnet",
    "objective": "both",
    "view": "clip",
    "lr_factor": 1.0,
    "length_factor": 1.0,
    "cohort": "main",
}
NEW = ("objective", "view", "lr_factor", "length_factor", "cohort", "clip_share_pct", "data_share_pct")
"""Columns that tables of older runs do not have, besides those that ``is_new`` knows."""

Row = dict[str, Any]
NAN = float("nan")


def is_new(column: str) -> bool:
    """Whether older accuracy tables have no such column."""
    return (
        column in NEW
        or column.startswith(("mixture", "shuffled", "joint_delta_boot"))
        or column[-2:] == "_p"
        or ("detectable" in column)
    )


def arm(
    placement: str,
    fraction: float,
    means: tuple[float, ...],
    seeds: int = 5,
    strategy: str = "copy_shift",
    direction: str = "bidirectional",
    **condition: Any,
) -> Row:
    """One row of the accuracy table. means: spatial, temporal and joint."""
    half = {1: NAN}.get(seeds, 1.3)
    base = strategy == "no_shift"
    row: Row = {
        "strategy": strategy,
        "placement": placement,
        "fraction": fraction,
        "direction": direction,
        **USUAL,
        **condition,
        "seeds": seeds,
        "clip_share_pct": NAN if base else 18.4,
        "joint_delta_boot_low_pct": NAN if base else means[2] - BASELINE_ACCURACY[2] - 2.1,
        "joint_delta_boot_high_pct": NAN if base else means[2] - BASELINE_ACCURACY[2] + 2.1,
        "shuffled_spatial_mean_pct": means[0] - 0.4,
        "shuffled_temporal_mean_pct": 25.2,
        "params": 78_000,
        "flops": 9.1e6,
        "train_seconds": 61.0,
        "clips_per_second": 243.0,
        "data_share_pct": 3.2,
        "status": "ok",
        "reason": "",
        "also_holds_for": "buffer_shift,concat_shift" if strategy == "copy_shift" else "",
    }
    outcomes = zip((*PARTS, "mixture"), _with_mixture(means), _with_mixture(BASELINE_ACCURACY), strict=True)
    for part, mean, zero in outcomes:
        delta = 0.0 if base else mean - zero
        reach = 0.0 if base else 1.2 * half
        row |= {
            f"{part}_mean_pct": mean,
            f"{part}_ci_low_pct": mean - half,
            f"{part}_ci_high_pct": mean + half,
            f"{part}_delta_pct": delta,
            f"{part}_delta_ci_low_pct": delta - reach,
            f"{part}_delta_ci_high_pct": delta + reach,
            f"{part}_delta_p": NAN if base or seeds == 1 else 0.0004 if abs(delta) > 3 else 0.021 if delta else 1.0,
            f"{part}_delta_detectable_pct": NAN if base else 1.45 * reach,
        }
    return row


def _with_mixture(means: Sequence[float]) -> tuple[float, ...]:
    return (*means, (means[0] + means[2]) / 2)


def accuracy_rows(seeds: int = 5) -> list[Row]:
    """The main condition: the baseline and all arms of the paper's figure."""
    rows = [arm("residual", 0.0, BASELINE_ACCURACY, seeds, "no_shift")]
    return rows + [arm(placement, fraction, means, seeds) for (placement, fraction), means in ACCURACIES.items()]


def old_rows(seeds: int = 5) -> list[Row]:
    """The same as runs before the studies have it: fewer columns."""
    return [{name: value for name, value in row.items() if not is_new(name)} for row in accuracy_rows(seeds)]


def study_rows() -> list[Row]:
    """Arms beside the nine: causal ones, the learned exchange, and other conditions, all better than any of them."""
    better = (99.0, 98.0, 97.5)
    rows = [arm("residual", share, means, direction="unidirectional") for share, means in CAUSAL.items()]
    rows.append({**arm("residual", 1.0, better, strategy="temporal_conv"), "params": 91_000})
    conditions: list[Row] = [
        {"view": "one_frame"},
        {"objective": "spatial"},
        {"objective": "temporal"},
        {"backbone": "digits_bottleneck"},
        {"backbone": "digits_r3d"},
        {"dataset": "opening_digits"},
        {"lr_factor": 0.5, "length_factor": 2.0},
        {"cohort": "replication"},
    ]
    for condition in conditions:
        rows.append(arm("residual", 0.0, BASELINE_ACCURACY, 5, "no_shift", **condition))
        rows.append(arm("residual", 1.0, better, **condition))
    return rows


def curve_rows(seeds: int = 5, epochs: int = 5) -> list[Row]:
    """Validation accuracy after each epoch: it climbs towards the arm's own and falls short by less and less."""
    shown = ("strategy", "placement", "fraction", "direction", *USUAL, "seeds")
    rows = []
    for trained in accuracy_rows(seeds) + study_rows():
        for epoch in range(1, epochs + 1):
            row = {name: trained[name] for name in shown} | {"epoch": epoch, "clips_seen": 2000 * epoch}
            for part in PARTS:
                chance = 25.0 if part == "temporal" else 20.0
                value = trained[f"{part}_mean_pct"] - (trained[f"{part}_mean_pct"] - chance) * 0.55**epoch
                half = NAN if seeds == 1 else 3.0
                row |= {
                    f"{part}_mean_pct": value,
                    f"{part}_ci_low_pct": value - half,
                    f"{part}_ci_high_pct": value + half,
                }
            rows.append(row)
    return rows


def control(name: str, comparison: str, subject: str, measured: float, half: float = 1.2, **more: Any) -> Row:
    """One row of the controls' table; the answer follows from the interval. more: unit and reference of a level."""
    row = {
        "control": name,
        "comparison": comparison,
        "subject": subject,
        "measured": measured,
        "ci_low": measured - half,
        "ci_high": measured + half,
        "unit": "points",
        "detectable": 1.4 * half,
        "seeds": 5,
        "reference": 0.0,
    } | more
    if half != half:
        answer = "no interval"
    else:
        low, high = measured - half, measured + half
        answer = "above" if low > row["reference"] else "below" if high < row["reference"] else "holds zero"
    return row | {"answer": answer}


def control_rows() -> list[Row]:
    """All controls, with the comparisons and subjects of a whole run."""
    chance = {"unit": "%", "reference": 25.0}
    arms = [f"copy_shift {placement} {share}" for placement in ("residual", "inplace") for share in ("1/2", "1")]
    no_shift, res_inp = "against network without a shift", "residual minus in-place"
    rows = [
        control("one_frame", "temporal: one-frame network against chance", "no_shift", 25.1, 0.5, **chance),
        control("one_frame", "spatial: one-frame network minus network without a shift", "no_shift", -11.3),
    ]
    gains = (31.9, 27.7, 17.0, 13.2, 25.7, 26.4, 15.4, 0.6)
    shifts = [f"copy_shift {placement} {share}" for placement in ("residual", "inplace") for share in _SHARES]
    rows += [control("mixture", f"mixture: {no_shift}", s, gain) for s, gain in zip(shifts, gains, strict=True)]
    rows += [
        control("mixture", f"mixture: {no_shift}", f"copy_shift residual {share} unidirectional", gain)
        for share, gain in zip(_SHARES, (28.0, 26.8, 17.4, 9.0), strict=True)
    ]
    rows.append(control("mixture", f"mixture: {no_shift}", "temporal_conv residual 1", 39.0))
    shuffled = "copy_shift residual 1/4"
    rows += [
        control(
            "shuffled",
            "temporal: shuffled frames against chance",
            f"{shuffled}, frames in random order",
            25.3,
            0.8,
            **chance,
        ),
        control("shuffled", "spatial: shuffled frames minus ordered frames", shuffled, -0.4, 0.3),
    ]
    for name, part, values in (
        ("spatial_only", "spatial", (-1.8, -3.9, -6.1, -5.2)),
        ("temporal_only", "temporal", (66.0, 63.0, 70.4, 31.0)),
    ):
        rows += [control(name, f"{part}: {no_shift}", s, v) for s, v in zip(arms, values, strict=True)]
        differences = ((values[0] - values[2], "1/2"), (values[1] - values[3], "1"))
        rows += [control(name, f"{part}: {res_inp}", f"copy_shift {share}", value) for value, share in differences]
    equal = "spatial: in-place minus residual path at equal temporal accuracy"
    rows.append(control("matched", equal, "copy_shift, mean over fractions", -2.9))
    rows += [
        control("matched", equal, f"copy_shift inplace {s}", v)
        for s, v in zip(_SHARES, (-0.3, -1.9, -6.0, -3.1), strict=True)
    ]
    for part, value in zip(PARTS, (-0.4, 3.1, 2.6), strict=True):
        words = "3×1×1 convolution minus residual shift of 1/4"
        rows.append(control("exchange", f"{part}: {words}", "temporal_conv residual 1", value))
        for backbone, more in (("digits_r3d", 2.0), ("digits_r2plus1d", -0.5)):
            words = "3-D network minus residual shift of 1/4"
            rows.append(control("volumetric", f"{part}: {words}", backbone, value + more))
        for subject, more in (("copy_shift residual 1/2", 8.0), ("copy_shift inplace 1/2", -2.0)):
            words = "twice the epochs minus the recipe's epochs"
            rows.append(control("longer", f"{part}: {words}", subject, value + more))
    for part, shift in (("joint", 0.0), ("spatial", 2.0)):
        for length, lr, value in ((1, 0.5, 5.1), (1, 1, -6.5), (1, 2, 0.4), (2, 0.5, 2.2), (2, 1, 0.1), (2, 2, -0.9)):
            subject = f"copy_shift 1/2, learning rate × {lr:g}, epochs × {length:g}"
            rows.append(control("schedule", f"{part}: {res_inp}", subject, value + shift))
    rows.append(
        control(
            "second_data",
            "temporal: network without a shift against chance",
            "no_shift",
            50.0,
            0.0,
            unit="%",
            reference=50.0,
        )
    )
    for name, shares in (("depth", ("1/2", "1")), ("second_data", ("1/4", "1"))):
        for part, values in (("joint", (10.3, 25.9)), ("spatial", (5.6, -2.0))):
            rows += [
                control(name, f"{part}: {res_inp}", f"copy_shift {share}", value)
                for share, value in zip(shares, values, strict=True)
            ]
        for part, values in (("mixture", (18.0, 12.0, 10.3, 0.2)), ("spatial", (-7.2, -12.0, -12.8, -10.0))):
            subjects = [f"copy_shift {placement} {share}" for placement in ("residual", "inplace") for share in shares]
            rows += [
                control(name, f"{part}: {no_shift}", subject, value)
                for subject, value in zip(subjects, values, strict=True)
            ]
    for part, value in (("joint", -3.0), ("spatial", 0.4), ("temporal", -4.0)):
        words = "at the narrow part minus at the usual place"
        rows += [control("inner", f"{part}: {words}", f"inner_shift residual {share}", value) for share in _SHARES]
    for comparison, main, other in (
        ("joint: copy_shift residual 1 minus no_shift", 39.7, 38.8),
        ("spatial: no_shift minus copy_shift inplace 1", 10.2, 9.8),
        ("joint: copy_shift residual 1/4 minus copy_shift residual 1", 18.7, 17.0),
        ("joint: copy_shift residual 1 minus copy_shift inplace 1", 27.3, 25.1),
        ("spatial: copy_shift residual 1 minus copy_shift inplace 1", -3.1, -0.8),
    ):
        rows.append(control("replication", comparison, "main seeds", main))
        rows.append(control("replication", comparison, "other seeds", other))
    return rows


_SHARES = ("1/8", "1/4", "1/2", "1")
