"""Every number with an interval in README and docs stands in a published table, and the page says in which."""

import re
from pathlib import Path

import pytest

from tests.scripts import numbers


@pytest.mark.parametrize("page", numbers.PAGES, ids=lambda page: page.name)
def test_a_page_holds_the_numbers_of_the_published_tables(page: Path) -> None:
    """``python -m tests.scripts.numbers`` writes them."""
    text = page.read_text(encoding="utf-8")
    assert numbers.rewritten(text) == text
    assert not numbers.unsourced(text)
    assert not re.search(r"^ *<!--=", text, re.MULTILINE), "at the beginning of a line it would begin an HTML block"


def test_a_number_is_written_as_its_table_has_it() -> None:
    """A wrong one is replaced; losses get their sign, shares none; a word in code is left alone."""
    page = "costs <!--= intel-xeon-2-cores copy_shift 1/1 -->+99 % [98, 100]<!--/--> and `<!--` stays"
    assert re.search(r"-->\+7\.\d % \[\d+\.\d, 1\d\.\d\]<!--/--> and `<!--` stays", numbers.rewritten(page))
    loss = numbers.rewritten("<!--= accuracy/accuracy copy_shift inplace 1/1 .spatial_delta -->?<!--/-->")
    assert "-->−2" in loss and " pp [−" in loss
    share = numbers.rewritten("<!--= accuracy/accuracy no_shift .spatial mean -->?<!--/-->")
    assert re.search(r"-->\d\d\.\d %<!--/-->", share)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("nowhere copy_shift 1/8", "0 folders"),
        ("amd-zen5 copy_shift 1/8", "0 folders"),
        ("intel-xeon-2-cores/nothing copy_shift", "no nothing.csv"),
        ("intel-xeon-2-cores copy_shift", "4 rows"),
        ("intel-xeon-2-cores copy_shift 1/3", "0 rows"),
        ("in bench/analysis/claims.toml", "does not stand in"),
    ],
)
def test_a_source_that_is_not_there_is_refused(source: str, why: str) -> None:
    with pytest.raises(numbers.NotPublished, match=why):
        numbers.rewritten(f"<!--= {source} -->98.7 %<!--/-->")


@pytest.mark.parametrize(
    "text", ["+11.2 % [10.6, 11.8]", "costs 5.4 [−0.2, 3]", "−6 pp [−10.7, -1.9]", "gains 1.5 pp", "told in 88.6 %"]
)
def test_a_measured_number_without_a_source_is_found(text: str) -> None:
    assert numbers.unsourced(f"It {text} here.")
    assert not numbers.unsourced(f"It `{text}` here.")
    assert not numbers.unsourced(f"It <!--= in README.md -->{text}<!--/--> here.")


def test_other_numbers_need_none() -> None:
    assert not numbers.unsourced("In 10 minutes 5 of 60 A/A intervals, 95 % of them, with [links](a/b) and v1.2 [1].")
