"""``buffer_shift`` in C++: one call shifts a whole group in its own memory, another puts it back.

Each thread takes a few kilobytes of a group through all frames while they lie in its cache, so there are four calls
per site instead of some sixty. Traffic and training as in ``buffer_shift``. Any layer at the site will do.
"""

from bench.ops import native


class NativeShift(native.MovesNatively):
    """Move only the moved channels in their own memory, by a native kernel; restore them for the shortcut."""

    name = "native_shift"
    same_function_as = "copy_shift"
    devices = ("cpu",)
