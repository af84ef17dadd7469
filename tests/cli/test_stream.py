"""``stream`` as a new user calls it: generated frames, a real file, weights of a run, and mistakes in one line."""

import json
from pathlib import Path

import pytest
import torch

from bench import models
from bench.cli.app import main
from bench.system.allocators import advice
from tests.conftest import command
from tests.data.making_videos import lying, two_sizes, write

QUICK = ["--fps", "500", "--threads", "1"]


def summary(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, object]:
    assert main(["stream", *arguments, *QUICK, "--json"]) == code
    out: dict[str, object] = json.loads(capsys.readouterr().out)
    return out


def test_generated_frames(capsys: pytest.CaptureFixture[str]) -> None:
    told = summary(capsys, "--source", "synthetic", "--frames", "20")
    assert (told["frames"], told["stopped"]) == (20, None)
    inputs = ((16, 16),) * 3 + ((32, 8),) * 3 + ((48, 4),) * 4 + ((64, 2),) * 2  # channels and edge of what conv1 reads
    assert told["cache_bytes"] == sum(4 * (channels // 8) * edge**2 for channels, edge in inputs)
    assert "random weights" in str(told["weights"])


def test_a_file_and_plain_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["stream", "--source", str(write(tmp_path / "bar.mp4")), *QUICK]) == 0
    out = capsys.readouterr().out
    assert "frame 1  time" in out and "24 frames" in out and "random weights" in out
    assert (advice() or "24 frames") in out


def test_a_file_of_two_sizes_is_played_as_far_as_it_goes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["stream", "--source", str(two_sizes(tmp_path)), *QUICK]) == 2
    told = capsys.readouterr()
    assert told.err.startswith("error: ") and told.err.count("\n") == 1 and "both.ts" in told.err
    assert "frames" in told.out


def test_a_file_that_ends_too_early_is_played_to_its_end_and_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    told = summary(capsys, "--source", str(lying(tmp_path / "lying.avi")))
    assert (told["frames"], told["stopped"]) == (24, None)
    assert told["notes"] == ["it ends after 24 frames, and its header speaks of 100: it was cut, or cut off"]
    assert main(["stream", "--source", str(tmp_path / "lying.avi"), *QUICK]) == 0
    assert "note: it ends after 24 frames" in capsys.readouterr().out


NOISY = """
import os, sys
from bench.strategy import Strategy

print("hello")
os.system("echo from a process of its own")


class Noisy(Strategy):
    name = "noisy"

    def shift(self, clip):
        print("shifting")
        out = clip.clone()
        moved = self.channels_each_way(clip.shape[2])
        out[:, 1:, :moved] = clip[:, :-1, :moved]
        out[:, :1, :moved] = 0
        return out
"""


def test_what_strategies_print_or_do_while_loaded_reaches_neither_the_json_nor_other_strategies(tmp_path: Path) -> None:
    (tmp_path / "a_killer.py").write_text("import os\nprint('bye', flush=True)\nos._exit(3)\n")
    (tmp_path / "noisy.py").write_text(NOISY)
    for strategy in ("noisy", "buffer_shift"):
        line = ["stream", "--source", "synthetic", "--frames", "2", "--strategy", strategy, "--json", *QUICK]
        done = command(*line, "--strategies-dir", str(tmp_path))
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["frames"] == 2
    assert command("check", "noisy", "--strategies-dir", str(tmp_path)).returncode == 0


def test_weights_that_do_not_say_how_they_were_trained(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    state = models.build("digits_resnet", 1).trunk.state_dict()
    for name, words in (
        ("mine.pt", "mine.pt does not say how it was trained"),
        ("videos_digits_resnet_copy_shift-residual-1_8-bidirectional_seed0.pt", "a causal network never sees the next"),
        ("videos_digits_resnet_buffer_shift-residual-1_8-unidirectional_seed0.pt", ""),
    ):
        torch.save(state, tmp_path / name)
        assert (
            main(["stream", "--source", "synthetic", "--frames", "1", "--weights", str(tmp_path / name), *QUICK]) == 0
        )
        told = capsys.readouterr().err
        assert words in told and told.count("\n") == bool(words)


def test_weights_that_a_run_pre_trained(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    trained = models.build("digits_resnet", 1, seed=5)
    torch.save({"key": "a hash", "state": trained.state_dict()}, tmp_path / "seed5.pt")
    told = summary(capsys, "--source", "synthetic", "--frames", "8", "--weights", str(tmp_path / "seed5.pt"))
    assert told["weights"] == "weights of seed5.pt"
    torch.save(trained.trunk.state_dict(), tmp_path / "plain.pt")
    again = summary(capsys, "--source", "synthetic", "--frames", "8", "--weights", str(tmp_path / "plain.pt"))
    assert told["prediction"].split(",")[0] == again["prediction"].split(",")[0]  # type: ignore[attr-defined]


def test_a_released_file_that_was_trained_otherwise(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "TSM_digits_RGB_resnet_shift8_block_avg_segment8_e50.pth"
    torch.save(models.build("digits_resnet", 1).trunk.state_dict(), file)
    assert main(["stream", "--source", "synthetic", "--frames", "2", "--weights", str(file), *QUICK]) == 0
    warning = capsys.readouterr().err
    assert warning.startswith(f"warning: {file.name} was trained with fraction 1/4, placement inplace, direction bi")
    assert warning.count("\n") == 1 and "asked for with fraction 1/8, placement residual, direction uni" in warning


def test_mistakes_are_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no weights")
    torch.save(models.build("digits_bottleneck", 1).state_dict(), tmp_path / "other.pt")
    mistakes = {
        ("--strategy", "foo"): "unknown strategy 'foo'; there are: aligned_split_shift",
        ("--placement", "sideways"): "'sideways'; there are: residual, inplace",
        ("--fraction", "2"): "0 to 1",
        ("--strategy", "temporal_conv"): "does not exist at fraction 1/8; it does at: 1",
        ("--backbone", "r3d_18"): "unknown backbone 'r3d_18'; there are: digits_resnet, resnet18",
        ("--device", "tpu"): "'tpu' is not on this machine; there are: cpu",
        ("--frames", "0"): "--frames 0 is too small",
        ("--size", "4"): "--size 4 is too small; it is a whole number from 32",
        ("--duration", "soon"): "'soon'",
        ("--weights", str(tmp_path / "nowhere.pt")): "there is no file",
        ("--weights", str(tmp_path / "notes.txt")): "cannot be read as weights",
        ("--weights", str(tmp_path / "other.pt")): "is of another network",
    }
    for options, message in mistakes.items():
        assert main(["stream", "--source", "synthetic", *options]) == 2, options
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1 and message in error, error


def test_a_strategy_that_cannot_stream_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from tests.conftest import TWO_BACK

    (tmp_path / "two_back.py").write_text(TWO_BACK)
    options = ["--strategy", "two_back", "--strategies-dir", str(tmp_path)]
    assert main(["stream", "--source", "synthetic", *options]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "does not compute frame by frame what it computes in clips" in error
