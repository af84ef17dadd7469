"""What pyproject.toml asks for: bounds that hold here, and a wheel without strangers. ``tests/compat/run`` tries the
ends of the bounds."""

import tomllib
from importlib.metadata import PackageNotFoundError, version

import pytest
from packaging.requirements import Requirement

from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]
ASKED = [*PROJECT["project"]["dependencies"], *(line for extra in EXTRAS.values() for line in extra)]
CONSTRAINTS = PROJECT["tool"]["uv"]["constraint-dependencies"]


@pytest.mark.parametrize("line", ASKED)
def test_every_dependency_has_a_lowest_version_and_what_is_installed_is_no_older(line: str) -> None:
    asked = Requirement(line)
    assert [bound.operator for bound in asked.specifier] == [">="], "a lowest version, and no ceiling without a reason"
    try:
        assert asked.specifier.contains(version(asked.name), prereleases=True)
    except PackageNotFoundError:
        pytest.skip(f"{asked.name} is not installed here")


def test_the_versions_known_to_work_are_within_the_bounds() -> None:
    known = {own.name: own.specifier for own in map(Requirement, CONSTRAINTS)}
    assert {"torch", "numpy", "pandas"} <= known.keys()
    for asked in map(Requirement, ASKED):
        for pinned in known.get(asked.name, ()):
            assert pinned.operator == "==" and asked.specifier.contains(pinned.version), asked.name
