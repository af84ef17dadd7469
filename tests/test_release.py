"""What a release says of itself: one version everywhere, and checks before a commit that are those of CI."""

import re

from bench import __version__
from tests.conftest import ROOT


def test_one_version() -> None:
    """pyproject takes it from the package; the citation and the changelog name the same, with one date."""
    assert 'dynamic = ["version"]' in (ROOT / "pyproject.toml").read_text()
    citation = dict(re.findall(r"^(version|date-released): (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE))
    assert citation["version"] == __version__
    released = re.findall(r"^## (\d\S*) \((.+)\)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert released[0] == (__version__, citation["date-released"])


def test_hooks_check_what_ci_checks() -> None:
    entries = re.findall(r"entry: ([^,\n]+)", (ROOT / ".pre-commit-config.yaml").read_text())
    decides = (ROOT / ".ci" / "run").read_text()
    assert len(entries) > 3
    assert all(entry in decides or entry == "bash .ci/run" for entry in entries)
