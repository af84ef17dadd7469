"""Frame by frame equals clip mode: every causal strategy, both placements, any length, batch and reset."""

from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from itertools import pairwise, product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from bench import models
from bench.models import Network, OnlineNetwork, State, StreamError
from bench.models.runtimes import NETWORK_TOLERANCE
from bench.plugins.conformance import conformance
from bench.plugins.discovery import load_classes, strategy_files
from bench.spec.axes import Placement
from bench.spec.cases import Variant
from bench.strategy import CannotStream, Recurrent, Site, Strategy
from tests.plugins.test_conformance import Gate, Honest, looks_ahead

CLASSES = {  # those of tokens alone stream in tests/strategies/test_tokens.py
    cls.name: cls for file in strategy_files() for cls in load_classes(file) if "maps" in (cls.features or ("maps",))
}
FRACTIONS = (1 / 8, 1 / 4, 1.0)
STREAMS = {  # a strategy that puts its own modules into a network says how they run frame by frame, or cannot stream
    name: cls for name, cls in CLASSES.items() if cls.wrap is Strategy.wrap or cls.online is not Strategy.online
}
VARIANTS = [
    (name, placement, fraction)
    for name, cls in STREAMS.items()
    for placement, fraction in product(cls.placements, cls.fractions or FRACTIONS)
]
TOLERANCE = NETWORK_TOLERANCE[torch.float32]
GREY, RGB = "digits_resnet", "mobilenet_v2"


def made(name: str, placement: Placement, fraction: float) -> Strategy:
    return CLASSES[name](fraction, placement, "unidirectional")


@cache
def pair(name: str, placement: Placement, fraction: float, backbone: str = GREY) -> tuple[Network, OnlineNetwork]:
    """A network in clip mode and the same frame by frame, with the same weights; what learns has left its start."""
    strategy = made(name, placement, fraction)
    clips = models.insert(strategy, models.build(backbone, 1))
    generator = torch.Generator().manual_seed(0)
    for key, tensor in clips.trunk.state_dict().items():
        if ".time." in key:
            tensor += 0.05 * torch.randn(tensor.shape, generator=generator)
    online = models.go_online(strategy, models.build(backbone, 1))
    online.trunk.load_state_dict(clips.trunk.state_dict())
    return clips, online


def frame_logits(clips: Network, frames: Tensor) -> Tensor:
    """Clip mode: frames [N, T, C, H, W] -> [N, T, classes]."""
    for module in clips.modules():
        if isinstance(getattr(module, "num_segments", None), int):
            module.num_segments = frames.shape[1]  # type: ignore[assignment]
    with torch.inference_mode():
        return clips.trunk(frames.flatten(0, 1).clone()).unflatten(0, frames.shape[:2])  # type: ignore[no-any-return]


def streamed(online: OnlineNetwork, frames: Tensor, state: State | None = None) -> Iterator[tuple[Tensor, State]]:
    """After each frame of [S, T, C, H, W]: its logits and the state."""
    with torch.inference_mode():
        for frame in frames.unbind(1):
            logits, state = online.step(frame.clone(), state)
            yield logits, state


def all_logits(online: OnlineNetwork, frames: Tensor) -> Tensor:
    return torch.stack([logits for logits, _ in streamed(online, frames)], dim=1)


def random_frames(streams: int, length: int, channels: int = 1, size: int = 16, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(streams, length, channels, size, size, generator=generator)


def assert_equal(got: Tensor, want: Tensor) -> None:
    assert got.shape == want.shape
    assert (got - want).abs().max() <= TOLERANCE * want.abs().max()


@pytest.mark.parametrize(("name", "placement", "fraction"), VARIANTS)
def test_a_stream_equals_its_clip(name: str, placement: Placement, fraction: float) -> None:
    clips, online = pair(name, placement, fraction)
    for streams, length in ((1, 1), (2, 3), (3, 7)):
        frames = random_frames(streams, length, seed=length)
        assert_equal(all_logits(online, frames), frame_logits(clips, frames))


def test_the_mechanisms_of_the_online_section_can_stream() -> None:
    mechanisms = {"copy_shift", "concat_shift", "buffer_shift", "native_shift", "view_matmul", "inner_shift"}
    assert mechanisms | {"temporal_conv"} <= STREAMS.keys()


@pytest.mark.parametrize("name", sorted(CLASSES.keys() - STREAMS.keys() - {"no_shift"}))
def test_what_does_not_say_how_it_streams_is_refused(name: str) -> None:
    strategy = made(name, CLASSES[name].placements[0], 0.25)
    with pytest.raises(CannotStream, match=f"{name} puts modules of its own into a network"):
        models.go_online(strategy, models.build(GREY, 1))


@pytest.mark.parametrize(("name", "placement"), sorted({(name, placement) for name, placement, _ in VARIANTS}))
def test_so_it_does_in_a_network_of_another_kind(name: str, placement: Placement) -> None:
    clips, online = pair(name, placement, (CLASSES[name].fractions or (1 / 8,))[0], RGB)
    frames = random_frames(2, 4, channels=3, size=32)
    assert_equal(all_logits(online, frames), frame_logits(clips, frames))


@settings(deadline=None, max_examples=12, derandomize=True)
@given(data=st.data(), variant=st.sampled_from(VARIANTS))
def test_resets_begin_streams_anew_and_leave_the_others_alone(
    data: st.DataObject, variant: tuple[str, Placement, float]
) -> None:
    clips, online = pair(*variant)
    length, streams = 6, 3
    frames = random_frames(streams, length)
    begins = data.draw(st.lists(st.sets(st.integers(0, streams - 1)), min_size=length, max_size=length))
    state, got = None, []
    with torch.inference_mode():
        for t, frame in enumerate(frames.unbind(1)):
            if state is not None and begins[t]:
                state = state.reset(sorted(begins[t]))
            logits, state = online.step(frame.clone(), state)
            got.append(logits)
    for stream in range(streams):
        cuts = [0, *(t for t in range(1, length) if stream in begins[t]), length]
        for start, end in pairwise(cuts):
            want = frame_logits(clips, frames[stream : stream + 1, start:end])
            assert_equal(torch.stack(got[start:end], 1)[stream : stream + 1], want)


@pytest.mark.parametrize("name", [name for name in STREAMS if name != "no_shift"])
def test_a_reset_leaves_other_streams_bit_identical_and_the_state_as_it_was(name: str) -> None:
    _, online = pair(name, "residual", (CLASSES[name].fractions or (1 / 4,))[0])
    frames = random_frames(3, 3)
    *_, (_, state) = streamed(online, frames[:, :2])
    kept = [past.clone() for past in state.pasts]
    with torch.inference_mode():
        untouched, again, reset = (
            online.step(frames[:, 2].clone(), before)[0] for before in (state, state, state.reset([1]))
        )
    assert torch.equal(untouched, again)
    assert all(torch.equal(a, b) for a, b in zip(kept, state.pasts, strict=True))
    assert torch.equal(untouched[[0, 2]], reset[[0, 2]])
    assert not torch.equal(untouched[1], reset[1])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_state_holds_the_moved_channels_and_nothing_else(layout: torch.memory_format) -> None:
    """ResNet-50 at 224², 1/8: 2.81 MB where the released code shifts (before conv1)."""
    sizes = {}
    for name in ("copy_shift", "concat_shift", "buffer_shift"):
        online = models.go_online(made(name, "residual", 1 / 8), models.build("resnet18", 1))
        models.lay_out(online, layout)
        with torch.inference_mode():
            _, state = online.step(torch.randn(1, 3, 64, 64).contiguous(memory_format=layout))
        assert all(past.untyped_storage().nbytes() == past.nbytes for past in state.pasts), "a view holds on to more"
        assert all(past.is_contiguous(memory_format=layout) for past in state.pasts)
        sizes[name] = state.bytes_per_stream
    # ResNet-18: 64 channels at 16² twice and before 128, then 128, 256 at 8², 4² in the same way
    want = 4 * sum(c // 8 * s * s for c, s in ((64, 16),) * 3 + ((128, 8),) * 2 + ((256, 4),) * 2 + ((512, 2),))
    assert set(sizes.values()) == {want}


def test_what_cannot_stream_says_why() -> None:
    def online(strategy: Strategy) -> OnlineNetwork:
        return models.go_online(strategy, models.build(GREY, 1))

    with pytest.raises(CannotStream, match="bidirectional: it reads the next frame"):
        online(CLASSES["copy_shift"](0.25, "residual", "bidirectional"))
    with pytest.raises(CannotStream, match="does not compute frame by frame what it computes in clips: frame 0"):
        online(_LooksAhead(0.25, "residual", "unidirectional"))
    with pytest.raises(CannotStream, match=r"modules of its own .* \(online\)"):
        online(_LearnsToLookAhead(0.25, "residual", "unidirectional"))
    with pytest.raises(CannotStream, match="farther back than one frame"):
        online(_TwoBack(0.25, "residual", "unidirectional"))
    with pytest.raises(CannotStream, match="3-D"):
        models.go_online(CLASSES["no_shift"](0.0), models.build("r3d_18", 8))


class _LooksAhead(Honest):
    shift = looks_ahead


class _LearnsToLookAhead(Honest):
    def wrap(self, block: nn.Module, site: Site, num_segments: int) -> nn.Module:
        return Gate(block, num_segments)


class _TwoBack(Honest):
    """Each moved channel comes from two frames earlier: the two-frame clip that ``step`` shifts cannot show it."""

    name = "two_back"

    def shift(self, clip: Tensor) -> Tensor:
        moved, out = self.channels_each_way(clip.shape[2]), clip.clone()
        out[:, 2:, :moved] = clip[:, :-2, :moved]
        out[:, :2, :moved] = 0
        return out


class _TwoBackOnline(_TwoBack):
    """The same, and it says what it remembers."""

    def online(self, block: nn.Module, site: Site) -> nn.Module:
        site.replace(block, _Delay(self, site.layer(block)))
        return block


class _Delay(Recurrent):
    def __init__(self, strategy: Strategy, net: nn.Module) -> None:
        super().__init__()
        self.strategy, self.net = strategy, net

    def remembers(self, channels: int) -> int:
        return 2 * self.strategy.channels_each_way(channels)

    def step(self, frame: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        moved = past.shape[1] // 2
        shifted = torch.cat((past[:, :moved], frame[:, moved:]), dim=1)
        return self.net(shifted), torch.cat((past[:, moved:], frame[:, :moved]), dim=1)


class _Wrong(_TwoBackOnline):
    """Promises to stream, and is one frame late."""

    def online(self, block: nn.Module, site: Site) -> nn.Module:
        return Strategy.online(self, block, site)


class _Averages(Honest):
    """Linear in the frame before, and no gather: still derived without a line."""

    name = "averages"

    def shift(self, clip: Tensor) -> Tensor:
        moved, out = self.channels_each_way(clip.shape[2]), clip.clone()
        out[:, 1:, -moved:] = (clip[:, 1:, -moved:] + clip[:, :-1, -moved:]) / 2
        out[:, :1, -moved:] = clip[:, :1, -moved:] / 2
        return out if self.fraction else clip


@pytest.mark.parametrize(
    ("cls", "ok"),
    [
        (Honest, True),
        (_Averages, True),
        (_TwoBackOnline, True),
        (_TwoBack, None),
        (_LooksAhead, None),
        (_Wrong, False),
    ],
)
def test_check_tells_who_streams(cls: type[Strategy], ok: bool | None) -> None:
    """What does not promise to stream may be of use in clips; what promises it must hold."""
    variant = Variant(cls.__name__, Fraction(1, 4), "residual", "unidirectional")
    verdicts = {v.check: v for v in conformance(cls, variant, None)}
    assert verdicts["streams"].ok is ok, verdicts["streams"]
    broken = [v.check for v in verdicts.values() if v.ok is False]
    assert broken == (["causal"] if cls is _LooksAhead else [] if ok is not False else ["streams"])


def test_a_derived_step_in_a_whole_network() -> None:
    for cls in (_Averages, _TwoBackOnline):
        strategy = cls(0.25, "residual", "unidirectional")
        clips, online = models.insert(strategy, models.build(GREY, 5)), models.build(GREY, 1)
        frames = random_frames(2, 5)
        assert_equal(all_logits(models.go_online(strategy, online), frames), frame_logits(clips, frames))


FRAME = random_frames(2, 1)[:, 0]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (FRAME[:, :, :8], r"\[2, 1, 8, 16\] .* expected \[2, 1, 16, 16\]"),
        (FRAME.double(), r"of torch.float64 .* of torch.float32"),
        (FRAME.repeat(1, 3, 1, 1), r"\[2, 3, 16, 16\] .* expected \[2, 1, 16, 16\]"),
        (FRAME[:1], r"\[1, 1, 16, 16\] .* expected \[2, 1, 16, 16\]"),
        (FRAME[0], r"\[1, 16, 16\] .* expected \[2, 1, 16, 16\]"),
    ],
)
def test_a_frame_that_does_not_fit_names_what_was_expected(frame: Tensor, message: str) -> None:
    _, online = pair("buffer_shift", "residual", 1 / 4)
    (_, state), *_ = streamed(online, FRAME[:, None])
    with pytest.raises(StreamError, match=message):
        online.step(frame, state)
    assert not online.step(FRAME.clone(), state)[0].isnan().any(), "and the stream goes on"


def test_a_first_frame_is_held_against_the_network() -> None:
    _, online = pair("buffer_shift", "residual", 1 / 4)
    with pytest.raises(StreamError, match=r"expected \[S, 1, H, W\]"):
        online.step(random_frames(1, 1, channels=3)[:, 0])


def test_a_state_of_another_network_is_refused() -> None:
    _, online = pair("buffer_shift", "residual", 1 / 4)
    _, other = pair("buffer_shift", "inplace", 1 / 4)
    (_, state), *_ = streamed(other, FRAME[:, None])
    with pytest.raises(StreamError, match="another network"):
        online.step(FRAME.clone(), state)
    (_, own), *_ = streamed(online, FRAME[:, None])
    with pytest.raises(StreamError, match="different networks"):
        models.joined([own, state])
    with pytest.raises(StreamError, match=r"no stream 2: .* 0 to 1"):
        own.reset([2])
