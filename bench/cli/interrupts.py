"""Ctrl-C and requests to end, while something is measured."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def stopping_in_order() -> Iterator[None]:
    """The first Ctrl-C, or request to end, ends the processes and keeps what they measured; a second one kills.

    Afterwards signals are handled as they were before.
    """

    def stop(*_: Any) -> None:
        for number in before:
            signal.signal(number, signal.SIG_DFL)
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
