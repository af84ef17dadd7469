"""How a budget is divided: arithmetic."""

import pytest

from bench.spec.axes import ValueNotAllowed
from bench.validation.design import PAIRS_WANTED, Design, plan

DESIGN = Design()


@pytest.mark.parametrize(("startup", "superblock"), [(2.5, 0.4), (4.0, 0.6), (5.5, 0.7)])
def test_ten_minutes_give_sixty_pairs_and_fit(startup: float, superblock: float) -> None:
    found = plan(DESIGN, 600, startup, superblock, used=6)
    assert found.quiet / DESIGN.group_size * DESIGN.pairs >= PAIRS_WANTED
    assert (594 - found.busy_seconds) / found.quiet >= startup + 2 * superblock
    assert found.busy >= 3 and 0.1 * 600 < found.busy_seconds < 0.15 * 600


def test_a_small_budget_is_scaled_down_to_one_group_of_five() -> None:
    found = [plan(DESIGN, seconds, 4.0, 0.5) for seconds in (60, 120, 300, 600, 3600)]
    assert (found[0].quiet, found[0].busy) == (5, 3)
    sizes = [own.quiet for own in found]
    assert sizes == sorted(sizes) and sizes[-1] > 300 and all(size % 5 == 0 for size in sizes)


def test_too_small_a_budget_is_refused_with_one_that_is_enough() -> None:
    with pytest.raises(ValueNotAllowed, match=r"budget of 30 s is too small .* at least (\d+) s") as refused:
        plan(DESIGN, 30, 4.0, 0.5, used=5)
    enough = int(str(refused.value).split("at least ")[1].split(" s")[0])
    assert plan(DESIGN, enough, 4.0, 0.5, used=5).quiet == 5


def test_calls_of_a_process() -> None:
    calls = DESIGN.calls
    assert [call.layers for call in calls[:7]] == [200, 100, 201, 202, 206, 220, 200]
    assert [call.name for call in calls if call.burns] == ["burn"]
    assert [calls[call].name for call in DESIGN.busy_calls] == ["base", "206 layers"]
    twins = [index for pair in range(DESIGN.pairs) for index in sorted(DESIGN.twins(pair))]
    assert twins == list(range(7, len(calls))) and {calls[index].layers for index in twins} == {200}
