"""Who owns the memory that features are written to: the environment that gives a process an allocator."""

import platform

_RETAINED = {
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),  # bytes; the largest value that glibc accepts
    "MALLOC_MMAP_MAX_": "0",  # and larger blocks come from the heap too
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "MALLOC_TOP_PAD_": str(64 << 20),
}

ENVIRONMENTS: dict[str, dict[str, str]] = {"default": {}, "retained": _RETAINED}
"""{allocator: environment variables of a process that uses it}.

By default glibc gives every large tensor back to the system and gets it again page by page, each page zeroed. With
``retained`` it keeps its heap. Other C libraries do not read these variables.
"""


def why_not(allocator: str) -> str | None:
    """Why ``allocator`` cannot be had on this machine; None where it can."""
    if ENVIRONMENTS[allocator] and platform.libc_ver()[0] != "glibc":
        return f"the allocator {allocator!r} needs glibc, which is not this system's C library"
    return None
