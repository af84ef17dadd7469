"""The axes of a panel, in one registry: everything that cases share which are compared with one baseline.

To add an axis, add a field to ``Panel`` here and its effect where a panel is measured (``measure/latency/process.py``
for the process, ``measure/latency/builder.py`` for what is built in it). Settings, command line, labels, records and
tables follow from the field.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from bench.spec.axes import RUNTIMES, Dtype, MemoryFormat


@dataclass(frozen=True)
class Axis:
    """How users ask for an axis: by ``option`` in settings and, with ``--``, on the command line.

    name: the panel's field and the tables' column. value: the type of one value, or {value: what it means} where there
    are just these; least: the smallest, of a number. default: the values where nothing is asked for.
    """

    name: str
    option: str
    value: Any
    default: tuple[Any, ...]
    help: str
    least: int

    @property
    def flag(self) -> str:
        """The option on the command line."""
        return "--backbone" if self.option == "backbones" else f"--{self.option.replace('_', '-')}"

    @property
    def allowed(self) -> Mapping[str, str] | None:
        """The values that there are; None where they are open."""
        return self.value if isinstance(self.value, Mapping) else None

    @property
    def counts(self) -> bool:
        """Its values are whole numbers."""
        return self.value is int


_APART = "device"  # asked for by one value for all panels, or auto


def _axis(
    option: str, value: Any, asked: tuple[Any, ...], help_text: str, *, least: int = 1, **field_options: Any
) -> Any:
    return field(metadata={"axis": (option, value, asked, help_text, least)}, **field_options)


_ALLOCATORS = {  # what they need: system/allocators.py
    "default": "the C library's, as it comes: large blocks go back to the system after every layer",
    "retained": "glibc told to keep its heap, so that features are not written to fresh pages",
    "huge": "glibc told to ask for pages of 2 MiB",
    "jemalloc": "jemalloc, keeping what it has, where it is installed",
    "mimalloc": "mimalloc, keeping what it has, where it is installed",
}


@dataclass(frozen=True)
class Panel:
    """Everything that shares one baseline.

    size: pixels along an edge. batch: clips. streams: 0 where whole clips run; else the network runs frame by frame,
    one frame of each stream at a time, and a slot is ``frames`` consecutive frames.
    """

    backbone: str = _axis("backbones", str, ("resnet50",), "Networks, see: list backbones.")
    device: str = _axis(_APART, str, (), "cpu, cuda or auto.")
    runtime: str = _axis("runtimes", RUNTIMES, ("eager",), "eager,compile,onnxruntime,openvino,cudagraph.")
    dtype: str = _axis("dtypes", Dtype, ("fp32",), "fp32,bf16,int8.")
    memory_format: str = _axis("memory_formats", MemoryFormat, ("nchw",), "nchw,channels_last.")
    threads: int = _axis("threads", int, (), "Threads; by default all cores that may be used.")
    frames: int = _axis("frames", int, (8,), "Frames in a clip.")
    size: int = _axis("sizes", int, (224,), "Pixels along an edge.", least=32)
    batch: int = _axis("batches", int, (1,), "Clips in a batch.")
    streams: int = _axis("streams", int, (0,), "Streams at once, of the online section.", least=0, default=0)
    allocator: str = _axis(
        "allocators", _ALLOCATORS, ("default",), "default,retained,huge,jemalloc,mimalloc.", default="default"
    )

    COLUMNS: ClassVar[tuple[str, ...]]
    """Those of a panel in tables."""

    @property
    def section(self) -> str:
        """The section that times it, which ids of its records begin with."""
        return "online" if self.streams else "latency"

    @property
    def images(self) -> int:
        """Frames that pass through the network in one slot."""
        return (self.streams or self.batch) * self.frames

    @property
    def label(self) -> str:
        """Unique and readable: ``resnet50-8x224-b1-cpu-eager-fp32-nchw-2t``, ``resnet50-online-8x224-s1-…``."""
        online, many = ("-online", f"s{self.streams}") if self.streams else ("", f"b{self.batch}")
        allocator = "" if self.allocator == "default" else f"-{self.allocator}"
        return (
            f"{self.backbone}{online}-{self.frames}x{self.size}-{many}-"
            f"{self.device}-{self.runtime}-{self.dtype}-{self.memory_format}-{self.threads}t{allocator}"
        )

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Panel":
        """The panel that ``data`` names, whatever else it holds; axes that older records do not name are as usual."""
        return cls(**{one.name: data[one.name] for one in fields(cls) if one.name in data})


PANEL_AXES: dict[str, Axis] = {
    one.metadata["axis"][0]: Axis(one.name, *one.metadata["axis"])
    for one in fields(Panel)
    if one.metadata["axis"][0] != _APART
}
"""{option: axis}, in the order of labels and tables; the device stands apart."""

Panel.COLUMNS = tuple(one.name for one in fields(Panel))
