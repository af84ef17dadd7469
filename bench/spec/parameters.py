"""Parameters of strategies: how one is declared, and how people write values: ``tam[kernel=3,5]``.

A strategy with values that differ from its defaults has a name like any other: ``tam[kernel=5]`` stands in cases, ids,
tables and figures, and ``tam`` is the strategy with its defaults. Several are written ``tam[groups=2;kernel=5]``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Generic, TypeVar, overload

from bench.spec.axes import ValueNotAllowed

T = TypeVar("T", bound=int | float | str)

_NAME = re.compile(r"([^\[\]]+)(?:\[([^\[\]]*)\])?")
_MARKS = re.compile(r"[\[\],;=\s]")
_HOW = "a strategy with parameters is written like tam[kernel=3,5]"


@dataclass(frozen=True)
class Parameter(Generic[T]):
    """What a strategy may be given beside its place on the axes, declared in its body::

        kernel = Parameter(3, (3, 5, 7), "frames that the local branch reads")

    allowed: all values, numbers or words. help: a line for lists. On an instance the name gives the value that it was
    made with, on the class this declaration. Raises ValueNotAllowed where a value could not be written in a name.
    """

    default: T
    allowed: tuple[T, ...]
    help: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "allowed", tuple(self.allowed))
        if bad := [text for text in self.texts if not text or _MARKS.search(text)]:
            raise ValueNotAllowed(f"a parameter's value {bad[0]!r} must be a number or a word without any of [ ] , ; =")
        if len(self.texts) != len(self.allowed):
            raise ValueNotAllowed(f"a parameter allows a value twice: {_listed(self)}")
        if text_of(self.default) not in self.texts:
            raise ValueNotAllowed(f"a parameter's default, {self.default!r}, is not among its values: {_listed(self)}")

    @property
    def texts(self) -> dict[str, T]:
        """{as it is written: value}."""
        return {text_of(value): value for value in self.allowed}

    @overload
    def __get__(self, instance: None, owner: type) -> "Parameter[T]": ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> "Parameter[T] | T":
        """On an instance the default: a value that it was made with stands before it, in the instance itself."""
        return self if instance is None else self.default


Declared = Mapping[str, Parameter[Any]]
"""{name of a parameter: its declaration}, in the order of the strategy's body."""


def text_of(value: object) -> str:
    """A value as it is written: ``3``, ``0.5``, ``true``, ``mean``."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def names_in(text: str) -> list[str]:
    """``a,tam[kernel=3,5]`` -> [a, tam[kernel=3,5]]: parted at commas that stand outside of brackets."""
    return re.split(r",(?![^\[]*\])", text)


def parse(name: str) -> tuple[str, dict[str, tuple[str, ...]]]:
    """``tam[kernel=3,5]`` -> (tam, {kernel: (3, 5)}). Raises ValueNotAllowed."""
    found = _NAME.fullmatch(name.strip())
    if not found:
        raise ValueNotAllowed(f"{name!r} is no strategy's name; {_HOW}")
    asked: dict[str, tuple[str, ...]] = {}
    parameter = ""
    for part in re.split("[,;]", found[2]) if found[2] else ():
        named, sign, value = part.rpartition("=")
        parameter = named.strip() if sign else parameter
        if not parameter:
            raise ValueNotAllowed(f"{name!r} gives {value.strip()!r} to no parameter; {_HOW}")
        asked[parameter] = (*asked.get(parameter, ()), value.strip())
    return found[1].strip(), asked


def plain(name: str) -> str:
    """The strategy's own name, without values."""
    return name.partition("[")[0]


def spelled_out(name: str, declared: Declared) -> list[str]:
    """``tam[kernel=3,5]`` -> [tam, tam[kernel=5]]: each combination under its own name.

    Raises ValueNotAllowed for a parameter or a value that the strategy does not declare.
    """
    strategy, asked = parse(name)
    for parameter, texts in asked.items():
        if parameter not in declared:
            has = ", ".join(f"{own} ({_listed(one)})" for own, one in declared.items())
            raise ValueNotAllowed(f"{strategy} has no parameter {parameter!r}; it has {has or 'none'}")
        for text in texts:
            if text not in declared[parameter].texts:
                of = f"{parameter} of {strategy}"
                raise ValueNotAllowed(f"{of} cannot be {text!r}; there are: {_listed(declared[parameter])}")
    combinations = (dict(zip(asked, values, strict=True)) for values in product(*asked.values()))
    return list(dict.fromkeys(named(strategy, values, declared) for values in combinations))


def named(strategy: str, values: Mapping[str, str], declared: Declared) -> str:
    """The name of a strategy with these values, in the order in which it declares them; defaults are left out."""
    usual = {name: text_of(one.default) for name, one in declared.items()}
    inner = ";".join(f"{name}={values[name]}" for name in declared if values.get(name, usual[name]) != usual[name])
    return f"{strategy}[{inner}]" if inner else strategy


def values_of(name: str, declared: Declared) -> dict[str, Any]:
    """{parameter: value} that a name differs in from the defaults. Raises ValueNotAllowed, for several values too."""
    names = spelled_out(name, declared)
    if len(names) != 1:
        raise ValueNotAllowed(f"{name} names {len(names)} strategies; here it must be one: {', '.join(names)}")
    return {parameter: declared[parameter].texts[text] for parameter, (text,) in parse(names[0])[1].items()}


def alike(name: str, other: str, declared: Declared) -> str:
    """The name of ``other``, which declares ``declared``, with the values of ``name`` that it takes too."""
    if other != plain(other):  # it names its values itself
        return other
    given = {own: texts[0] for own, texts in parse(name)[1].items()}
    shared = {own: text for own, text in given.items() if own in declared and text in declared[own].texts}
    return named(other, shared, declared)


def described(declared: Declared) -> list[str]:
    """A line for each parameter: ``kernel=3 of 3, 5, 7: frames that the local branch reads``."""
    return [f"{name}={text_of(one.default)} of {_listed(one)}: {one.help}" for name, one in declared.items()]


def _listed(parameter: Parameter[Any]) -> str:
    return ", ".join(parameter.texts)
