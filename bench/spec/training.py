"""What trainings may be asked for: arms, data, recipes and seeds of the sections accuracy, detection and video."""

from fractions import Fraction
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from bench.spec.axes import (
    ACCURACY_BACKBONE,
    ACCURACY_BACKBONES,
    BACKBONES,
    DATASETS,
    DETECTION_DATASET,
    MAIN,
    TRAINED_DETECTOR,
    Objective,
    ValueNotAllowed,
    View,
    require,
    require_backbone,
)
from bench.spec.schema import Count, Group, Positive, Strict, one_of
from bench.spec.videos import Share, Videos

Dataset = Annotated[str, one_of(DATASETS, "dataset")]
AccuracyBackbone = Annotated[str, one_of(ACCURACY_BACKBONES, "backbone of the accuracy section")]


class RingDigitsData(Strict):
    """How hard ``ring_digits`` is. Deviations and contrasts on a scale where black is 0 and the brightest digit 1."""

    jitter: Annotated[int, Field(ge=0, le=3)] = 1  # px either way, per frame and sprite
    noise: Annotated[float, Field(ge=0, le=1)] = 0.05  # standard deviation
    band: Annotated[int, Field(ge=0, le=8)] = 3  # px of each sprite that are erased in every frame
    lowest_contrast: Annotated[float, Field(gt=0, le=1)] = 0.6
    distractor: bool = True


class OpeningDigitsData(Strict):
    """How hard ``opening_digits`` is; units as in ``RingDigitsData``."""

    jitter: Annotated[int, Field(ge=0, le=3)] = 1  # px either way, per frame
    noise: Annotated[float, Field(ge=0, le=1)] = 0.05
    lowest_contrast: Annotated[float, Field(gt=0, le=1)] = 0.6


class Data(Strict):
    """The parameters of each data set."""

    ring_digits: RingDigitsData = RingDigitsData()
    opening_digits: OpeningDigitsData = OpeningDigitsData()


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


class TrainingRecipe(Strict):
    """What all recipes have: written down before the run that they are judged by. Recipes are chosen with ``judged_on``
    = validation: of the seeds that are searched with, no test clip is looked at.
    """

    epochs: Count = 8
    lr: Positive
    weight_decay: Annotated[float, Field(ge=0)] = 0.02
    batch: Count
    judged_on: Literal["test", "validation"] = "test"
    bf16: bool | Literal["auto"] = "auto"  # auto: where the device has bf16 units; without them it is 20 times slower
    device: Literal["auto", "cpu", "cuda"] = "auto"  # auto: cuda where there is one


class RenderedRecipe(TrainingRecipe):
    """On data that is rendered: source images are split into training, validation and the rest, which is for the test.
    A network is pre-trained on single frames first."""

    train_share: Share = 0.6
    validation_share: Share = 0.15
    pretrain_lr: Positive
    pretrain_batch: Count
    pretrain_frames: Count
    clips: Count = 500  # per epoch; often enough for a learning curve
    test_clips: Count

    @model_validator(mode="after")
    def _something_to_test_on(self) -> "RenderedRecipe":
        if self.train_share + self.validation_share >= 1:
            raise ValueNotAllowed(
                f"train_share = {self.train_share:g} and validation_share = {self.validation_share:g} leave no images "
                "for the test; together they must stay below 1"
            )
        return self


class Recipe(RenderedRecipe):
    """How an arm of the accuracy section is trained. Learning curves are taken on validation clips."""

    pretrain_frames: Count = 15_000  # per epoch
    pretrain_epochs_easy: Count = 3
    pretrain_epochs_hard: Count = 3
    pretrain_lr: Positive = 3e-3
    pretrain_batch: Count = 128
    lr: Positive = 2e-3  # this and epochs: as the rule in presets/recipe.toml found them, on validation clips
    batch: Count = 16
    test_clips: Count = 500  # each of them in all orders
    validation_clips: Count = 32  # after each epoch, each of them in all orders
    size: Annotated[int, Field(ge=32)] = 32  # px; the frames are rendered at 32 and enlarged


class DetectionRecipe(RenderedRecipe):
    """How a detector is trained."""

    pretrain_frames: Count = 4_000  # per epoch
    pretrain_epochs: Count = 8
    pretrain_lr: Positive = 2e-3
    pretrain_batch: Count = 32
    lr: Positive = 1e-3
    batch: Count = 4  # clips
    test_clips: Count = 1_000


class VideoRecipe(TrainingRecipe):
    """How an arm of the video section is trained. One-cycle schedule over ``epochs`` of all training videos.

    weights: that the network starts from; where ``Settings.weights`` names some, those. None: ImageNet's, or what a
    network of one's own comes with. head_lr_factor: of ``lr``, for the new last layer. norm_momentum: of BatchNorm;
    None: as the network has it. flip: horizontally, at random; auto: not where a label says left, right or clockwise.
    How far a whole clip is moved at random: see ``Videos.margin``.
    """

    weights: str | None = None
    epochs: Count = 40
    lr: Positive = 1.5e-3
    head_lr_factor: Positive = 5.0
    norm_momentum: Annotated[float, Field(gt=0, le=1)] | None = 0.05
    batch: Count = 16
    bf16: bool | Literal["auto"] = False  # depthwise convolutions are slower in it on a CPU
    flip: bool | Literal["auto"] = "auto"


class Study(Strict):
    """A question that needs arms beyond the main ones: what differs from the section is named, several values crossed.

    cohort: arms of one cohort are averaged over their seeds; another name keeps a repetition apart. baseline: train the
    network without a shift as well.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    seeds: Count | None = None
    first_seed: Annotated[int, Field(ge=0)] | None = None
    datasets: tuple[Dataset, ...] | None = None
    backbones: tuple[AccuracyBackbone, ...] | None = None
    objectives: tuple[Objective, ...] = ("both",)
    views: tuple[View, ...] = ("clip",)
    lr_factors: tuple[Positive, ...] = (1.0,)
    length_factors: tuple[Positive, ...] = (1.0,)
    cohort: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")] = MAIN
    baseline: bool = True
    groups: tuple[Group, ...] = ()


class VideoStudy(Study):
    """The same of videos. datasets: names of questions."""

    datasets: tuple[str, ...] | None = None
    backbones: tuple[str, ...] | None = None


class TrainingSection(Strict):
    """A section of trainings: arms, seeds, the recipe that all arms share, and studies beyond the main arms.

    lr_factors, length_factors: of the recipe's ``lr`` and ``epochs``; each pair is a candidate of its own.
    """

    groups: tuple[Group, ...] = ()
    plugins: Group = Group()
    studies: tuple[Study, ...] = ()
    seeds: Count
    first_seed: Annotated[int, Field(ge=0)] = 0
    lr_factors: tuple[Positive, ...] = (1.0,)
    length_factors: tuple[Positive, ...] = (1.0,)
    recipe: TrainingRecipe
    data: Strict

    @property
    def all_studies(self) -> tuple[Study, ...]:
        """The main study, which names the data sets and networks that others may leave open, and those beyond it."""
        raise NotImplementedError

    def _main(self, datasets: tuple[str, ...], backbone: str) -> Study:
        return Study.model_construct(
            name=MAIN,
            groups=self.groups,
            datasets=datasets,
            backbones=(backbone,),
            lr_factors=self.lr_factors,
            length_factors=self.length_factors,
        )

    @model_validator(mode="after")
    def _names_once(self) -> Self:
        names = [MAIN, *(study.name for study in self.studies)]
        if doubled := [name for name in names if names.count(name) > 1]:
            raise ValueNotAllowed(f"two studies are called {doubled[0]!r}; each needs a name of its own")
        return self


class Accuracy(TrainingSection):
    """The accuracy section: networks that tell clips apart."""

    datasets: tuple[Dataset, ...] = ("ring_digits",)
    backbone: AccuracyBackbone = ACCURACY_BACKBONE
    plugins: Group = Group(fractions=(Fraction(1, 4),))
    seeds: Count = 3
    recipe: Recipe = Recipe()
    data: Data = Data()

    @property
    def all_studies(self) -> tuple[Study, ...]:
        """The main study first."""
        return (self._main(self.datasets, self.backbone), *self.studies)


class Detection(TrainingSection):
    """The detection section: the detector frame by frame, and with the shifts of ``groups`` in its backbone.

    A strategy in the direction unidirectional makes the online detector, bidirectional the offline one. Latency per
    frame is measured by the online section's settings, in its panels of detectors.
    """

    plugins: Group = Group(fractions=(Fraction(1, 8),), directions=("unidirectional",))
    seeds: Count = 5
    recipe: DetectionRecipe = DetectionRecipe()
    data: ClutteredDigitsData = ClutteredDigitsData()

    @property
    def all_studies(self) -> tuple[Study, ...]:
        """Without groups nothing is trained."""
        return (self._main((DETECTION_DATASET,), TRAINED_DETECTOR), *self.studies) if self.groups else ()


class VideoSection(TrainingSection):
    """The video section: a network that is pre-trained on images learns from videos of one's own, with each strategy.

    Each question is a data set of its own: ``Condition.dataset`` is its name. Without ``data.path`` nothing is trained.
    """

    backbone: str = "timm:tf_efficientnet_lite0"
    plugins: Group = Group(fractions=(Fraction(1, 4),))
    groups: tuple[Group, ...] = (Group(strategies=("copy_shift",), placements=("residual", "inplace")),)
    studies: tuple[VideoStudy, ...] = ()
    seeds: Count = 5
    recipe: VideoRecipe = VideoRecipe()
    data: Videos = Videos()

    @property
    def all_studies(self) -> tuple[Study, ...]:
        """The main one, of all questions, first."""
        names = tuple(question.name for question in self.data.questions)
        return (self._main(names, self.backbone), *self.studies) if self.data.path else ()

    @model_validator(mode="after")
    def _known(self) -> Self:
        questions = [question.name for question in self.data.questions]
        require_backbone(self.backbone, BACKBONES, "backbone of the video section")
        for study in self.studies:
            for dataset in study.datasets or ():
                require(dataset, questions, "question")
            for backbone in study.backbones or ():
                require_backbone(backbone, BACKBONES, "backbone of the video section")
        return self
