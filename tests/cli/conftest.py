from collections.abc import Iterator

import pytest

from bench.plugins import discovery


@pytest.fixture(scope="package", autouse=True)
def described_once() -> Iterator[None]:
    """The process that loads strategies runs once; everything else up to a measurement is real."""
    described = discovery.describe(discovery.strategy_files())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(discovery, "describe", lambda files, limits=None: described)
        yield
