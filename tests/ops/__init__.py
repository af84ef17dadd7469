"""Tests of bench/ops."""

import pytest

from bench.ops import native

needs_compiler = pytest.mark.skipif(native.why_not() is not None, reason=native.why_not() or "")
