"""Files of strategies: several classes in one, helpers beside it, parameters; here and on other machines."""

from pathlib import Path

import pytest

from bench.measure import executors
from bench.plugins.discovery import LoadError, describe, helpers_of, infos_of, load_class, load_classes, static_metadata
from bench.spec.axes import ValueNotAllowed
from bench.system import workers

FAMILY = '''
from bench.strategy import Parameter, Strategy
from ._numbers import FAR

class Base(Strategy):
    """What all of the family share."""

    name = "base"  # of a helper: counts where it is defined only
    far = Parameter(FAR, (1, 2), "frames that channels come from")

    def shift(self, clip):
        moved, out = self.channels_each_way(clip.shape[2]), clip.clone()
        out[:, self.far :, :moved], out[:, : self.far, :moved] = clip[:, : -self.far, :moved], 0
        return out
'''
COUSINS = '''
from ._family import Base

class _Nameless(Base):
    """Sets no name: no strategy."""

class Near(_Nameless):
    """From one frame back."""
    name = "near"

class Far(Near):
    """From two frames back."""
    name = "far"
    same_function_as = "near"
'''


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Of two strategies, with a helper beside it that has one of its own."""
    (tmp_path / "_numbers.py").write_text("FAR = 1\n")
    (tmp_path / "_family.py").write_text(FAMILY)
    (tmp_path / "_unused.py").write_text("raise RuntimeError('nobody imports this')\n")
    (tmp_path / "cousins.py").write_text(COUSINS)
    return tmp_path / "cousins.py"


def test_a_file_holds_each_class_that_sets_a_name(file: Path) -> None:
    assert [cls.name for cls in load_classes(file)] == ["near", "far"]
    assert static_metadata(file) == [("near", "From one frame back."), ("far", "From two frames back.")]
    infos, _ = describe([file])
    assert [(info.name, info.error, info.same_function_as) for info in infos] == [
        *(("near", None, None), ("far", None, "near"))
    ]
    assert infos[0].parameters == load_class("near", [file]).parameters()


def test_a_name_with_values_is_a_class_with_other_defaults(file: Path) -> None:
    cls = load_class("far[far=2]", [file])
    assert (cls.name, cls.summary(), cls().values) == ("far[far=2]", "From two frames back.", {"far": 2})
    assert load_class("far[far=1]", [file]).name == "far"
    with pytest.raises(ValueNotAllowed, match="far of far cannot be '3'; there are: 1, 2"):
        load_class("far[far=3]", [file])
    with pytest.raises(LoadError, match=r"defines the strategy 'base\[far=2\]'"):
        load_class("base[far=2]", [file])


def test_helpers_of_one_name_in_two_folders_are_two(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for name in ("cousins.py", "_family.py"):
        (other / name).write_text((tmp_path / name).read_text())
    (other / "_numbers.py").write_text("FAR = 2\n")
    assert [load_class("near", [own]).parameters()["far"].default for own in (file, other / "cousins.py")] == [1, 2]


def test_what_a_file_imports_from_beside_it_goes_where_it_goes(file: Path, tmp_path: Path) -> None:
    """As on a node of a cluster, which gets no other file of the folder."""
    assert [helper.name for helper in helpers_of(file)] == ["_family.py", "_numbers.py"]
    shipped = [(file.name, executors._content(file))]
    node = tmp_path / "node"
    node.mkdir()
    (unpacked,) = executors._unpacked(shipped, node)
    assert sorted(path.name for path in Path(unpacked).parent.iterdir()) == ["_family.py", "_numbers.py", "cousins.py"]
    assert load_class("far", [Path(unpacked)])().values == {"far": 1}


def test_other_processes_import_helpers(file: Path) -> None:
    """And hold a strategy with values of its own against what it equals with the same ones."""
    variant = {"strategy": "far[far=2]", "fraction": "1/2", "placement": "residual", "direction": "unidirectional"}
    entry = {"name": "far[far=2]", "file": str(file), "variants": [variant]}
    job = {"files": [str(file)], "strategies": [entry], "devices": ["cpu"]}
    told = workers.stream("bench.plugins.conformance", job, silence_limit=120.0)
    (checked,) = (event for event in told if "failed" in event)
    assert (checked["strategy"], checked["failed"]) == ("far[far=2]", None)


@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        ("from ._family import Nothing", "cannot be loaded: ImportError: cannot import name 'Nothing'"),
        ("from ._famly import Base", "_famly'; there is no _famly.py beside it"),
        ("from _family import Base", "No module named '_family'; write: from ._family import …"),
        ("from ._unused import x", "cannot be loaded: RuntimeError: nobody imports this"),
        ("import nothing_of_that_name", "No module named 'nothing_of_that_name'"),
        ("from ._family import Base\nclass A(Base): name = 'a[b]'", "without commas, brackets or line breaks"),
        ("from ._family import Base\nclass A(Base): pass", "defines no strategy"),
        ("from ._family import *\nclass A(Base):\n  name, step = 'a', Parameter(1, (1,), '')", "A.step is a parameter"),
        ("from ._family import *\nclass A(Base):\n  name, n = 'a', Parameter(0, (1,), '')", "default, 0, is not among"),
    ],
)
def test_what_cannot_be_loaded_says_why(file: Path, code: str, complaint: str) -> None:
    broken = file.with_name("broken.py")
    broken.write_text(code)
    (info,) = infos_of(broken)
    assert info.name == "broken" and complaint in (info.error or ""), info.error
