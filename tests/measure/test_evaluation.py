"""What cases answer to clips: a strategy that fails, kills its process or is not what it says costs itself."""

import pytest

from bench.measure import evaluation
from bench.measure.plan import prepare
from bench.spec.cases import Chosen
from bench.spec.settings import validate
from bench.system.progress import Reporter
from tests.measure.making_evaluations import EACH, MISLABELLED, network, videos

KILLER = """
import os
from bench.strategy import Strategy

class Killer(Strategy):
    name = "killer"

    def shift(self, clip):
        os._exit(3)
"""

IMPOSTOR = """
from bench.strategy import Strategy

class Impostor(Strategy):
    name = "impostor"
    same_function_as = "copy_shift"
    placements = ("inplace",)

    def shift(self, clip):
        return clip.flip(2)
"""


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> tuple[evaluation.Footage, list, list]:
    """copy_shift and two strangers, in place, on the flat colours."""
    folder = tmp_path_factory.mktemp("evaluation")
    for name, code in (("killer", KILLER), ("impostor", IMPOSTOR)):
        (folder / "plugins").mkdir(exist_ok=True)
        (folder / "plugins" / f"{name}.py").write_text(code)
    backbone, weights = network(folder)
    data = {"path": str(videos(folder)), "frames": 4, "size": 32, "margin": 0, "cache": str(folder / "cache")}
    strategies = ("copy_shift", "killer", "impostor")
    latency = {
        **{"device": "cpu", "threads": [1], "backbones": [backbone], "frames": [4], "sizes": [32]},
        "groups": [{"strategies": strategies, "fractions": ["1/8"], "placements": ["inplace"]}],
    }
    settings = validate(
        {"sections": ["latency"], "weights": str(weights), "latency": latency, "video": {"data": data}}, "a test"
    )
    plan = prepare(settings, Chosen(strategies=strategies), folder / "plugins")
    asked, broken = evaluation.readable(evaluation.footage(settings.video.data, "all"), Reporter(quiet=True))
    assert not broken
    found = evaluation.predict(plan, asked, Reporter(quiet=True))
    return asked, found, evaluation.disagreements(plan, found, asked)


def test_a_strategy_that_kills_its_process_costs_itself(evaluated: tuple[evaluation.Footage, list, list]) -> None:
    _, found, _ = evaluated
    told = {one.case.variant.strategy: (one.status, one.reason) for one in found}
    assert list(told) == ["copy_shift", "killer", "impostor", "no_shift"]
    assert told.pop("killer") == ("failed", "the process that ran it exited with code 3 before it was done")
    assert set(told.values()) == {("ok", None)}


def test_the_network_is_right_where_the_label_is(evaluated: tuple[evaluation.Footage, list, list]) -> None:
    asked, found, _ = evaluated
    plain = found[-1].classes == asked.judged.labels
    assert plain.sum() == 3 * EACH - MISLABELLED


def test_what_is_another_function_than_it_says_is_an_error(
    evaluated: tuple[evaluation.Footage, list, list],
) -> None:
    _, _, ((own),) = evaluated
    assert own.case.variant.strategy == "impostor" and own.unlike > 0
    assert "copy_shift" in own.fault and "whose function it declares to compute" in own.fault
