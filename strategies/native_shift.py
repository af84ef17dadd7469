"""``buffer_shift`` in C++: one call shifts a whole group in its own memory, another puts it back.

Each thread takes a few kilobytes of a group through all frames while they lie in its cache, so there are four calls
per site instead of some sixty. Traffic and training as in ``buffer_shift``. Any layer at the site will do.
"""

from functools import cached_property

from bench.ops import in_place, native


class NativeShift(in_place.MovesInPlace):
    """Move only the moved channels in their own memory, by a native kernel; restore them for the shortcut."""

    name = "native_shift"
    same_function_as = "copy_shift"
    devices = ("cpu",)

    @cached_property
    def mover(self) -> in_place.Mover:  # type: ignore[override]
        """The native kernel, or PyTorch's copies where there is none."""
        if reason := native.why_not():
            self.fall_back(reason)
            return in_place.FrameByFrame()
        return native.Native(in_place.FrameByFrame())

    def skip(self, backbone: str, frames: int) -> str | None:
        """Without a compiler it would be ``buffer_shift`` under another name."""
        return native.why_not()
