"""The answer in plain words: pure functions of the tables.

A few questions, each answered in a few sentences: what the shift costs here and why, what changes that, what it buys,
what the controls of that show and whether it lasts, which variant to take, which published findings held, and how far
to trust all that. Every number carries its 95 % interval, and nothing is called faster or better unless the intervals
are apart.
"""

from collections.abc import Callable
from dataclasses import dataclass

from bench.report.choice import choice_sentences
from bench.report.control_words import control_sentences
from bench.report.cost import cost_sentences, slope_sentences
from bench.report.dependence import axis_sentences
from bench.report.deployment import runtime_sentences
from bench.report.detection import detection_sentences
from bench.report.gain import gain_sentences
from bench.report.lasting import lasting_sentences
from bench.report.movement import movement_sentences
from bench.report.numbers import listed
from bench.report.online import early_sentences, online_sentences
from bench.report.selection import VERDICTS, Row, Tables
from bench.report.trust import trust_sentences

_PLURAL = {"is invalid here": "are invalid here", "was not": "were not"}


@dataclass(frozen=True)
class Passage:
    """One question and its answer, sentence by sentence."""

    question: str
    sentences: tuple[str, ...]


def answer(tables: Tables) -> list[str]:
    """The same as lines for a terminal: each question, and its sentences below it."""
    return [
        line
        for passage in passages(tables)
        for line in (passage.question, *(f"  {sentence}" for sentence in passage.sentences))
    ]


def passages(tables: Tables) -> tuple[Passage, ...]:
    """What a reader wants to know, in the order in which they ask. What this run cannot answer says so, last."""
    asked = (
        ("What does the shift cost here?", _unless_suspect(tables, cost_sentences)),
        ("Does the cost grow with the share of channels?", _unless_suspect(tables, slope_sentences, silent=True)),
        ("Is the cost the moving of bytes?", _unless_suspect(tables, movement_sentences, silent=True)),
        ("What changes the cost?", _unless_suspect(tables, axis_sentences, silent=True)),
        ("How to write it for each runtime?", _unless_suspect(tables, runtime_sentences, silent=True)),
        ("What does it cost a running video?", online_sentences(tables)),
        ("What does it buy?", gain_sentences(tables)),
        ("How early does it know?", early_sentences(tables)),
        ("What do the controls show?", control_sentences(tables)),
        ("Does it last?", lasting_sentences(tables)),
        ("Does a running detector find more?", detection_sentences(tables)),
        ("Which variant to take?", _unless_suspect(tables, choice_sentences, silent=True)),
        ("Which published findings held?", finding_sentences(tables.claims)),
        ("How far to trust it?", trust_sentences(tables)),
    )
    told = [Passage(question, tuple(sentences)) for question, sentences in asked if sentences]
    return tuple(sorted(told, key=lambda passage: passage.sentences[0].startswith("Not measured")))


def finding_sentences(claims: list[Row]) -> list[str]:
    """How many findings met which verdict, and their names."""
    if not claims:
        return []
    sentences = []
    for verdict, words in VERDICTS.items():
        met = [claim for claim in claims if claim["verdict"] == verdict]
        names = _finding_names(met)
        if names:
            for singular, plural in _PLURAL.items() if len(met) > 1 else ():
                words = words.replace(singular, plural)
            sentences.append(f"{len(met)} of {len(claims)} {words}: {listed(names)}.")
    return sentences


def _finding_names(claims: list[Row]) -> list[str]:
    """``naive-cpu (copy_shift, concat_shift)``: a finding judged for several subjects is named once."""
    subjects: dict[str, list[str]] = {}
    for claim in claims:
        of_one = subjects.setdefault(str(claim.get("claim") or claim["id"]), [])
        if claim.get("subject"):
            of_one.append(str(claim["subject"]))
    return [f"{name} ({', '.join(of_one)})" if of_one else name for name, of_one in subjects.items()]


def _unless_suspect(tables: Tables, sentences: Callable[[Tables], list[str]], *, silent: bool = False) -> list[str]:
    """A failed A/A control withholds every headline that rests on the clock; said once, ``silent`` after that."""
    if not tables.suspect:
        return sentences(tables)
    return [] if silent else [f"Withheld: {tables.suspect.rstrip('.')}. Latencies of this run are in the tables only."]
