"""The interval over processes on what the processes of published runs really differ by."""

from tests.scripts.choose_estimator import CHOSEN, MONTE_CARLO_ERROR, OLD, coverage


def test_the_chosen_interval_holds_on_published_runs_from_seven_processes_on_but_in_one() -> None:
    """2,000 draws of 5, 7, 16 and 32 processes of each. Of five it is Student's, which stood there before and does not
    hold in four runs, in the one with a process at +48 % for 7 and 16 either. The one of torch.compile, whose processes
    differ widely and lopsidedly, contradicts the choice: docs/statistics.md says so."""
    table = coverage((OLD, CHOSEN))
    table["holds"] = table.coverage_pct.between(92 - MONTE_CARLO_ERROR, 98 + MONTE_CARLO_ERROR)
    missed = table[~table.holds].groupby("interval").apply(lambda own: set(zip(own.run, own.n, strict=True)))
    run = "amd-zen5-2-cores-runtimes"
    small = {("amd-zen3-2-cores-edge-lite0-int8", 5), ("amd-zen3-2-cores-edge-one-thread", 5)}
    lopsided = {("amd-zen3-2-cores-edge-compile", count) for count in (5, 16, 32)}
    assert missed[CHOSEN] == {(run, 5), *small, *lopsided}
    assert {(run, 5), (run, 7), (run, 16)} <= missed[OLD]
