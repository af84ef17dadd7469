"""``python -m tests.scripts.numbers``: writes the numbers of README and docs anew, from the published tables.

A number stands in a span, between two comments of which the first says where it comes from::

    <!--= runtimes copy_shift 1/4 onnxruntime -->+137 % [114, 159]<!--/-->

First the run's folder in ``results/reference``, by its end, and the table where it is not ``latency``:
``detection/online``. Then words that select one row: a fraction (1/1 is all channels), ``column=value``, or a value of
any column of text; where several rows are left, the usual one (``_USUAL``). Where it is not the overhead, the column
follows as ``.joint_delta``, or ``.verdict``; ``mean`` leaves the interval out. A figure that was not measured, a claim
or a limit, has ``in PATH``: the file that holds it. What another script writes stands between two of its own marks.
"""

import json
import re
import shlex
from fractions import Fraction
from functools import cache
from pathlib import Path

import pandas as pd

from bench.report.numbers import between, estimate, fixed, interval_text

ROOT = Path(__file__).resolve().parent.parent.parent
REFERENCE = ROOT / "results" / "reference"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_USUAL = {
    **{"placement": "residual", "direction": "bidirectional", "runtime": "eager", "dtype": "fp32"},
    **{"memory_format": "nchw", "streams": 1, "backbone": "digits_resnet", "dataset": "ring_digits", "cohort": "main"},
    **{"objective": "both", "view": "clip", "lr_factor": 1.0, "length_factor": 1.0},
}
_SPAN = re.compile(r"<!--= (.+?) -->(.*?)<!--/-->", re.DOTALL)
_WRITTEN = re.compile(r"<!-- written by (\S+) -->.*?<!-- written by \1 -->", re.DOTALL)
_CODE = re.compile(r"^(```.*?^```|    .*?$)|`[^`\n]+`", re.DOTALL | re.MULTILINE)
_COUNTED = 1000  # from here on decimals say nothing
_SIGN, _NUMBER = "[-−+±]?", r"\d+(?:\.\d+)?"
_MEASURED = re.compile(  # a number with an interval, points, or a share with decimals
    rf"{_SIGN}{_NUMBER}(?: ?(?:%|pp))?(?: \[{_SIGN}{_NUMBER}, {_SIGN}{_NUMBER}\]| pp\b)|{_SIGN}\d+\.\d+ ?%"
)


class NotPublished(Exception):
    """A number whose source is not there; the message says what was looked for."""


def rewritten(page: str) -> str:
    """The page with the text of every span as its source has it. Raises NotPublished."""
    return _SPAN.sub(lambda span: f"<!--= {span[1]} -->{_told(span[1], span[2])}<!--/-->", page)


def unsourced(page: str) -> list[str]:
    """What looks like a measured number and stands outside of spans and code."""
    for told in (_SPAN, _WRITTEN, _CODE):
        page = told.sub("", page)
    return [found[0] for found in _MEASURED.finditer(page)]


def _told(source: str, text: str) -> str:
    first, *words = shlex.split(source)
    if first == "in":
        held = re.findall(_NUMBER, (ROOT / words[0]).read_text(encoding="utf-8"))
        if not {float(number) for number in re.findall(_NUMBER, text)} <= set(map(float, held)):
            raise NotPublished(f"{text!r} does not stand in {words[0]}")
        return text
    shown = next((word[1:] for word in words if word.startswith(".")), None)
    row = _row(first, [word for word in words if not word.startswith(".") and word != "mean"])
    return _shown(row, shown, mean="mean" in words).replace("-", "−")


def _row(where: str, words: list[str]) -> dict[str, object]:
    """The one row that all words select."""
    table = _table(where)
    for word in words:
        table = table[_holds(table, word)]
    for column, value in _USUAL.items():
        if len(table) > 1 and column in table and (table[column] == value).any():
            table = table[table[column] == value]
    if len(table) != 1:
        raise NotPublished(f"{len(table)} rows of {where} hold {' '.join(words)}, in place of one")
    return {str(name): value for name, value in table.iloc[0].items()}


@cache
def _table(where: str) -> pd.DataFrame:
    folder, _, name = where.partition("/")
    exact = REFERENCE / folder
    found = [exact] if exact.is_dir() else [path for path in REFERENCE.iterdir() if path.name.endswith(folder)]
    if len(found) != 1:
        raise NotPublished(f"{len(found)} folders end with {folder}")
    if name == "scores":  # of the comparison with other harnesses
        return pd.DataFrame(json.loads((found[0] / "summary.json").read_text())["scores"])
    file = f"{name or 'latency'}.csv"
    path = next((path for path in (found[0] / "tables" / file, found[0] / file) if path.exists()), None)
    if path is None:
        raise NotPublished(f"{found[0].name} has no {file}")
    table = pd.read_csv(path)
    return table[~table["aa"].astype(bool)] if "aa" in table else table


def _holds(table: pd.DataFrame, word: str) -> pd.Series:
    column, equals, value = word.partition("=")
    if equals:
        return table[column].astype(str).isin((value, f"{value}.0"))
    if re.fullmatch(r"\d+/\d+", word):
        return (table["fraction"] - float(Fraction(word))).abs() < 1e-9
    texts = table.select_dtypes(["object", "string"]).drop(columns=["records", "flags", "reason"], errors="ignore")
    return texts.eq(word).any(axis=1)


def _shown(row: dict[str, object], stem: str | None, *, mean: bool) -> str:
    if stem in row:  # a word, or a bare number
        if isinstance(row[stem], str):
            return row[stem]
        value = float(str(row[stem]))
        return f"{value:,.0f}" if abs(value) >= _COUNTED or value == 0 else fixed(value)
    if "measured" in row:  # claims, controls
        found, unit = between(row["measured"], row["ci_low"], row["ci_high"]), str(row["unit"])
    elif "estimate_pct" in row and stem is None:  # validate
        found, unit = between(row["estimate_pct"], row["ci_low_pct"], row["ci_high_pct"]), "%"
    else:
        found, unit = estimate(row, stem or "overhead"), "pp" if "delta" in (stem or "") else "%"
    signed = unit != "%" or stem in (None, "over_layer_baseline")
    return f"{fixed(found.mean, signed=signed)} {unit}" if mean else interval_text(found, unit, signed=signed)


def main() -> None:
    """Rewrite every page."""
    for page in PAGES:
        before = page.read_text(encoding="utf-8")
        page.write_text(rewritten(before), encoding="utf-8")


if __name__ == "__main__":
    main()
