"""Videos of one's own: which class, or forward or reversed? Learned by a network that knows images already.

An epoch shows every training video once: frames and crop are drawn anew, within the margin that the cache keeps around
the crop, so a whole clip moves by up to half of it. Judged in fp32, in evaluation mode, once, after the last epoch. The
logits of a clip's frames are averaged in float64, where their sum does not depend on their order: a network that looks
at frames one by one gives a clip and its reverse the same class, so on the arrow of time it is at exactly 50 %.
"""

import hashlib
import os.path
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.flop_counter import FlopCounterMode

from bench.data.video_clips import ClipReader
from bench.data.video_lists import ARROW, Video, VideoSet, read_video_set
from bench.measure.training.checkpoint import State
from bench.measure.training.harness import Batch, Diverged, Task, Train
from bench.measure.training.video_cache import all_videos, readable
from bench.models import Network, build, last_layers, normalisation, remove, require_edge, set_head
from bench.spec.axes import starting_weights
from bench.spec.cases import Condition
from bench.spec.training import VideoRecipe
from bench.spec.videos import Videos
from bench.store.samples import Fitted, VideoRecognition, pack
from bench.strategy import Strategy

_EPOCHS, _SHUFFLE = range(2)  # streams of random numbers under one seed
_FEW = 5  # of the classes, for top-5

Clips = NDArray[np.uint8]
"""[N, T, H, W, 3]."""

Change = Callable[[Clips], Clips]

Logits = NDArray[np.float64]
"""After each frame, the consensus so far: [N, T, classes]."""


def _as_they_are(clips: Clips) -> Clips:
    return clips


@dataclass(frozen=True)
class VideoTask(Task):
    """One question of a set of videos. A batch's targets are the classes of its clips."""

    recipe: VideoRecipe
    dataset: VideoSet
    videos: Videos = field(kw_only=True)
    reader: ClipReader = field(kw_only=True)

    SAMPLES: ClassVar[type[Fitted]] = VideoRecognition
    MEMORY_FORMAT: ClassVar[torch.memory_format] = torch.channels_last

    @classmethod
    def open(cls, recipe: dict[str, Any], data: dict[str, Any], condition: Condition, seed: int) -> "VideoTask":
        """With the lists of the condition's question."""
        videos = Videos.model_validate(data)
        question = videos.question(condition.dataset)
        found = read_video_set(videos, question, seed)
        reader, how = ClipReader(videos), VideoRecipe.model_validate(recipe)
        if question.epochs is not None:
            how = how.model_copy(update={"epochs": question.epochs})
        version = reader.version(all_videos([found]))
        return cls(how, condition, seed, found, version, videos=videos, reader=reader)

    @property
    def segments(self) -> int:
        """Frames of a clip."""
        return self.videos.frames

    @property
    def arrow(self) -> bool:
        """Whether a clip may run backwards, and that is what is asked."""
        return self.videos.question(self.condition.dataset).task == "arrow"

    @property
    def _ways(self) -> int:
        return len(ARROW) if self.arrow else 1

    @property
    def flips(self) -> bool:
        """Whether training clips are mirrored at random."""
        return self.recipe.flip is True or (self.recipe.flip == "auto" and self.dataset.flips)

    @property
    def weights(self) -> str | None:
        """As ``models.build`` takes them."""
        return starting_weights(self.condition.backbone, self.recipe.weights)

    def network(self, backbone: str, segments: int) -> Network:
        """With the weights that it starts from, and a last layer that is the seed's."""
        network = build(backbone, segments, self.weights)
        require_edge(network.trunk, self.videos.size)
        set_head(network, len(self.dataset.classes), self.seed)
        if self.recipe.norm_momentum is not None:
            for module in network.modules():
                if isinstance(module, _BatchNorm):
                    module.momentum = self.recipe.norm_momentum
        if self.recipe.device == "cpu":
            _pad_before_small_maps(network, self.videos.size)
        return network

    def parameters(self, network: Network) -> list[tuple[float, list[nn.Parameter]]]:
        """The last layer learns faster."""
        head = [parameter for layer in last_layers(network.trunk).values() for parameter in layer.parameters()]
        own = {id(parameter) for parameter in head}
        others = [parameter for parameter in network.parameters() if id(parameter) not in own]
        return [(1.0, others), (self.recipe.head_lr_factor, head)]

    def trained(self, network: Network) -> State:
        """Under the names that the network has without a strategy, as ``--weights`` takes them; a strategy that holds
        weights in another form stays where it is."""
        with suppress(ValueError):
            remove(network)
        return {name: tensor.cpu() for name, tensor in network.trunk.state_dict().items()}

    def loss(self, network: Network, frames: Tensor, targets: Any) -> Tensor:
        """On the clip logits."""
        return cross_entropy(network(frames).float(), targets)

    def fine_tune(self, network: Network, strategy: Strategy, train: Train) -> dict[str, Any]:
        """The videos that can be read; a learning curve on those for validation after each epoch."""
        everything = all_videos([self.dataset])
        left_out = self.reader.prepare(everything, lambda share: self.alive())
        found, names = readable(self.dataset, left_out), _names(everything)
        fit, curve = train(
            partial(self.epoch, found.train),
            len(found.train),
            lambda: self._top1(network, found.validation),
        )
        judged = found.test if self.recipe.judged_on == "test" else found.validation
        seen = [len(found.train) * number for number in range(1, len(curve) + 1)]
        return {
            **asdict(fit),
            **self._judge(network, judged, early=strategy.fraction == 0 or strategy.direction == "unidirectional"),
            "videos": [names[video.path] for video in judged] * self._ways,
            "clips_seen": seen,
            "curve": {"top1": curve},
            "clips_per_second": seen[-1] / fit.train_seconds,
            "validation_clips": len(found.validation) * self._ways,
            "train_clips": len(found.train),
            "weights": _weights_key(self.weights),
            "flips": self.flips,
            "left_out": {names[path]: why.replace(str(path), names[path]) for path, why in left_out.items()},
        }

    def _judge(self, network: Network, videos: Sequence[Video], early: bool) -> dict[str, Any]:
        """What is right, and what is still right without order and without motion. early: and after each frame."""
        start = time.perf_counter()
        by_frame = self.consensus(network, videos)
        seconds = time.perf_counter() - start
        labels, classes = self._labels(videos), self.dataset.classes
        given = (-by_frame[:, -1]).argsort(axis=1, kind="stable")  # the likeliest class first
        confusion: dict[str, dict[str, int]] = {name: {} for name in classes}
        for (label, answer), clips in Counter(zip(labels, given[:, 0], strict=True)).items():
            confusion[classes[label]][classes[answer]] = clips
        shuffle = partial(_shuffled, np.random.default_rng([self.seed, _SHUFFLE]))
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(self.frames(self.reader.clips(videos[:1], None)))
        return {
            "top1_accuracy": float((given[:, 0] == labels).mean()),
            "top5_accuracy": float((given[:, :_FEW] == labels[:, None]).any(1).mean()) if len(classes) > _FEW else None,
            "correct": pack(given[:, 0] == labels),
            "classes": list(classes),
            "confusion": confusion,
            "shuffled_accuracy": self._top1(network, videos, shuffle),
            "one_frame_accuracy": self._top1(network, videos, _one_frame),
            "early": (by_frame.argmax(axis=2) == labels[:, None]).mean(axis=0).tolist() if early else None,
            "test_clips": len(labels),
            "test_seconds": seconds,
            "flops": counter.get_total_flops(),  # multiplication and addition counted apart
        }

    def epoch(self, videos: Sequence[Video], number: int) -> Iterator[Batch]:
        """Each of ``videos`` once, as the epoch of that number draws them, whatever was drawn before."""
        rng, device = np.random.default_rng([self.seed, _EPOCHS, number]), self.recipe.device
        order = rng.permutation(len(videos))
        labels = np.array([video.label for video in videos], np.int64)[order]
        if self.arrow:  # as many reversed ones as forward ones
            labels = rng.permutation(np.arange(len(videos)) % 2)
        for first in range(0, len(videos), self.recipe.batch):
            some = slice(first, first + self.recipe.batch)
            clips = self.reader.clips([videos[place] for place in order[some]], rng)
            if self.arrow:
                backwards = labels[some] == 1
                clips[backwards] = clips[backwards, ::-1]
            if self.flips:
                mirrored = rng.random(len(clips)) < 0.5
                clips[mirrored] = clips[mirrored, :, :, ::-1]
            yield self.frames(clips), torch.from_numpy(labels[some]).to(device)

    def consensus(self, network: Network, videos: Sequence[Video], change: Change = _as_they_are) -> Logits:
        """How ``network`` (in evaluation mode) judges a clip of each video, the mean over its views; of the arrow of
        time, all of them forward, then all reversed. change: of the frames of clips, before any is reversed.

        Raises Diverged.
        """
        ways, views, batches = self._ways, self.videos.views, list[Tensor]()
        counts = torch.arange(1, self.segments + 1)[:, None]
        with torch.no_grad():
            for first in range(0, len(videos), self.recipe.batch):
                some, total = videos[first : first + self.recipe.batch], torch.zeros(())
                for view in range(views):
                    clips = change(self.reader.clips(some, None, view))
                    shown = np.concatenate((clips, clips[:, ::-1])) if self.arrow else clips  # both through one batch
                    logits = network.trunk(self.frames(shown)).cpu().double().unflatten(0, (ways, len(some), -1))
                    total = total + logits.cumsum(dim=2) / counts
                batches.append(total / views)  # [ways, n, T, classes]
                self.alive()
        found = torch.cat(batches, dim=1).flatten(0, 1)
        if not torch.isfinite(found).all():
            raise Diverged("the trained network's logits on the judged clips are not finite")
        return found.numpy()

    def frames(self, clips: Clips) -> Tensor:
        """Frames [N * T, 3, H, W] where they are trained on, channels_last, normalised as the weights expect."""
        frames = torch.from_numpy(np.ascontiguousarray(clips)).to(self.recipe.device).flatten(0, 1).permute(0, 3, 1, 2)
        mean, deviation = (
            torch.tensor(of, device=frames.device)[:, None, None]
            for of in normalisation(self.condition.backbone, self.weights)
        )
        return frames.float().sub_(255 * mean).div_(255 * deviation)

    def _labels(self, videos: Sequence[Video]) -> NDArray[np.int64]:
        """In the order of ``consensus``."""
        if self.arrow:
            return np.repeat(np.arange(len(ARROW)), len(videos))
        return np.array([video.label for video in videos], np.int64)

    def _top1(self, network: Network, videos: Sequence[Video], change: Change = _as_they_are) -> float:
        right = self.consensus(network, videos, change)[:, -1].argmax(axis=1) == self._labels(videos)
        return float(right.mean())


def _pad_before_small_maps(network: Network, size: int) -> None:
    """Depthwise convolutions over maps smaller than their kernel get zeros around the map first, instead of asking the
    convolution for them: the same function, but oneDNN has no fast kernel for the gradient of such weights (of 5×5 on
    4×4 a fifth of the time; the training of EfficientNet-Lite0 at 64² takes two thirds). size: px, of frames."""

    def look(module: nn.Module, arguments: tuple[Any, ...]) -> None:
        assert isinstance(module, nn.Conv2d)
        if module.groups > 1 and any(
            kernel > edge for kernel, edge in zip(module.kernel_size, arguments[0].shape[-2:], strict=True)
        ):
            module.padding_mode = "constant"  # type: ignore[assignment]  # one of ``pad``, as all but "zeros" are

    hooks = [module.register_forward_pre_hook(look) for module in network.modules() if isinstance(module, nn.Conv2d)]
    with torch.no_grad():
        network.eval().trunk(torch.zeros(1, 3, size, size))
    for hook in hooks:
        hook.remove()


def _shuffled(rng: np.random.Generator, clips: Clips) -> Clips:
    """Control without order: the frames of each clip in a random one."""
    order = rng.permuted(np.tile(np.arange(clips.shape[1]), (len(clips), 1)), axis=1)
    shuffled: Clips = clips[np.arange(len(clips))[:, None], order]
    return shuffled


def _one_frame(clips: Clips) -> Clips:
    """Control without motion: the middle frame alone, as often as there were frames."""
    frames = clips.shape[1]
    return np.repeat(clips[:, frames // 2, None], frames, axis=1)


def _names(videos: Sequence[Video]) -> dict[Path, str]:
    """Of each, its path below the folder that holds them all."""
    folder = os.path.commonpath([video.path.parent for video in videos])
    return {video.path: video.path.relative_to(folder).as_posix() for video in videos}


def _weights_key(weights: str | None) -> str:
    """What a network started from: a name, or a file's with a key of its content."""
    if weights is None or not Path(weights).is_file():
        return weights or "as it is made"
    with open(weights, "rb") as file:
        return f"{Path(weights).name} {hashlib.file_digest(file, 'sha256').hexdigest()[:12]}"
