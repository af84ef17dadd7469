"""How accuracies and detectors were measured, in words: only what this run's own settings and tables say was done."""

from typing import Any

import pandas as pd

from bench.report.numbers import fixed, number
from bench.report.selection import Tables


def accuracy_method(tables: Tables) -> list[str]:
    """Paragraphs for the page; none where nothing was trained."""
    if tables.accuracy.empty:
        return []
    settings = (tables.header.get("settings") or {}).get("accuracy") or {}
    return [_data(settings.get("recipe") or {}), _inference(tables.accuracy)]


def detection_method(tables: Tables) -> list[str]:
    """Paragraphs for the page; none where no detector was trained."""
    if tables.detection.empty or not (tables.detection["seeds"] > 0).any():
        return []
    recipe = ((tables.header.get("settings") or {}).get("detection") or {}).get("recipe") or {}
    told = (
        "Detection: digits and photographs are split into training, validation and test, so that clips of one share no "
        "picture with those of another. All forms of a seed start from one pre-training on single frames, are then "
        "trained for as long on the same clips, and are tested once on the same clips; differences are paired by seed, "
        "with Student's t over seeds, and hold one at a time. All seeds draw from one pool of pictures, each by a "
        "split of its own: intervals hold for other splits and trainings, not for other pictures. The first frames of "
        "a clip have no past, in training, in the test and in a stream alike. "
    )
    if recipe.get("judged_on") == "validation":
        told += "This run was judged on validation clips, as one does to choose a recipe: it is no test. "
    return [
        f"{told}A detector is timed with random weights up to its predictions at every position, which does not depend "
        "on what a frame shows; what follows (sorting, suppression of doubles) is the same for all forms, so that the "
        "overhead of a whole detector is somewhat smaller."
    ]


def _data(recipe: dict[str, Any]) -> str:
    train, validation = number(recipe.get("train_share")), number(recipe.get("validation_share"))
    if validation != validation:  # an older run: it had no validation images
        return (
            "Accuracy: training and test share no source image, and all arms share data, recipe and seeds. Each arm is "
            "tested after its last epoch, never after the best one."
        )
    shares = " / ".join(f"{fixed(100 * share, 0)} %" for share in (train, validation, 1 - train - validation))
    told = (
        f"Accuracy: the source images are split into training, validation and test ({shares}), so that clips of one "
        "share no image with those of another. The presets' recipe was fixed beforehand, on validation clips and on "
        "seeds that no claim rests on; learning curves are taken on validation clips too. "
    )
    if recipe.get("judged_on") == "validation":
        return f"{told}This run was judged on validation clips as well, as one does to choose a recipe: it is no test."
    return f"{told}Each arm is tested once, after its last epoch, never after the best one."


def _inference(accuracy: pd.DataFrame) -> str:
    told = (
        "A seed changes everything that is random: the clips, the pre-training, the initialisation, the order of "
        "training. All arms that are held against each other share their seeds, so differences are paired by seed. "
        "All seeds draw from one pool of images, each by a split of its own: intervals hold for other splits and "
        "trainings, not for other pictures. The network without a shift is adapted from the same pre-training by the "
        "same schedule, so that what the schedule itself unlearns is in every arm. "
        "Intervals are Student's t over seeds"
    )
    told += _if_known(
        accuracy, "joint_delta_boot_low_pct", "; beside them stands one that draws seeds and test clips together"
    )
    told += "."
    told += _if_known(
        accuracy,
        "joint_delta_p",
        " The p of a difference to no shift is that of a paired t test, adjusted by Holm over the arms; intervals of "
        "differences and of controls hold one at a time.",
    )
    told += _profile(accuracy)
    return told + _if_known(
        accuracy,
        "shuffled_temporal_mean_pct",
        " Every trained network is tested once more with each clip's frames in a random order: what it then still "
        "knows of the order does not come from the order.",
    )


def _if_known(accuracy: pd.DataFrame, column: str, text: str) -> str:
    return text if column in accuracy and accuracy[column].notna().any() else ""


def _profile(accuracy: pd.DataFrame) -> str:
    """Where the time of a training goes, over all arms; empty for older runs."""
    names = {"backward": "backward passes", "forward": "forward passes", "update": "updates", "data": "making clips"}
    columns = [f"{name}_share_pct" for name in names]
    if not set(columns) <= set(accuracy) or accuracy[columns].isna().all(axis=None):
        return ""
    known = accuracy[accuracy[columns].notna().all(axis=1)]
    weights = known["train_seconds"] * known["seeds"]
    if not weights.sum() > 0:
        return ""
    shares = [(known[column] * weights).sum() / weights.sum() for column in columns]
    told = ", ".join(f"{words} {fixed(share, 0)} %" for words, share in zip(names.values(), shares, strict=True))
    return f" Of the trainings' time: {told}."
