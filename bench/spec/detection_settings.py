"""The schema of the detection section: which detectors are trained, on what scenes, how, and how often."""

from fractions import Fraction
from typing import Annotated, Literal

from pydantic import Field, model_validator

from bench.spec.axes import ValueNotAllowed
from bench.spec.schema import Count, Factor, Group, Strict


class ClutteredDigitsData(Strict):
    """How hard ``cluttered_digits`` is. Lengths in px of a frame of 64²; grey values from 0 to 1."""

    objects: Annotated[int, Field(ge=1, le=6)] = 3  # at most, one at least
    clutter: Annotated[int, Field(ge=0, le=6)] = 3  # scrambled digits, which are nothing to be found
    bars: Annotated[int, Field(ge=0, le=4)] = 2  # that stand before the objects
    exposure: Annotated[float, Field(ge=0, le=1)] = 0.8  # of the time between two frames: motion blur
    defocus: Annotated[float, Field(ge=0, le=4)] = 1.5  # largest standard deviation; each frame has its own
    noise: Annotated[float, Field(ge=0, le=1)] = 0.08  # standard deviation
    lowest_contrast: Annotated[float, Field(gt=0, le=1)] = 0.5
    fastest: Annotated[float, Field(gt=0, le=8)] = 4.5  # px from frame to frame


class DetectionRecipe(Strict):
    """How one detector is trained; written down before the run that it is judged by. Shares as in ``Recipe``."""

    train_share: Annotated[float, Field(gt=0, lt=1)] = 0.6
    validation_share: Annotated[float, Field(gt=0, lt=1)] = 0.15
    pretrain_frames: Count = 4_000  # per epoch
    pretrain_epochs: Count = 8
    pretrain_lr: Annotated[float, Field(gt=0)] = 2e-3
    pretrain_batch: Count = 32
    clips: Count = 500  # per epoch
    epochs: Count = 8
    lr: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.02
    batch: Count = 4  # clips
    test_clips: Count = 1_000
    judged_on: Literal["test", "validation"] = "test"
    bf16: bool | Literal["auto"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"

    @model_validator(mode="after")
    def _something_to_test_on(self) -> "DetectionRecipe":
        if self.train_share + self.validation_share >= 1:
            raise ValueNotAllowed(
                f"train_share = {self.train_share:g} and validation_share = {self.validation_share:g} leave no images "
                "for the test; together they must stay below 1"
            )
        return self


class Detection(Strict):
    """The detection section: the detector frame by frame, and with the shifts of ``groups`` in its backbone.

    A strategy in the direction unidirectional makes the online detector, bidirectional the offline one. Latency per
    frame is measured by the online section's settings, in its panels of detectors.

    lr_factors, length_factors: of the recipe's ``lr`` and ``epochs``; each pair is a candidate, and the forms of one
    are held against one another.
    """

    groups: tuple[Group, ...] = ()
    plugins: Group = Group(fractions=(Fraction(1, 8),), directions=("unidirectional",))
    seeds: Count = 5
    first_seed: Annotated[int, Field(ge=0)] = 0
    lr_factors: tuple[Factor, ...] = (1.0,)
    length_factors: tuple[Factor, ...] = (1.0,)
    recipe: DetectionRecipe = DetectionRecipe()
    data: ClutteredDigitsData = ClutteredDigitsData()
