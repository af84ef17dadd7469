"""What the commands export and stream do."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from bench.spec.axes import ValueNotAllowed

if TYPE_CHECKING:
    from bench.models.runtimes.export import Export


def export(asked: "Export", strategies_dir: Path | None) -> int:
    """Write the file, and print how to load it."""
    from bench.models.runtimes import export as exporting
    from bench.plugins import discovery

    try:
        worst = exporting.write(asked, discovery.strategy_files(strategies_dir))
    except (RuntimeError, ValueError, OSError) as error:
        raise ValueNotAllowed(f"{asked.strategy} was not exported: {error}") from None
    print(f"wrote {asked.out} ({asked.out.stat().st_size / 1e6:.1f} MB); it deviates from eager by {worst:.1g} at most")
    print(f"load it with:\n\n{asked.loader()}")
    return 0


def stream(*, duration: str | None, strategies_dir: Path | None, as_json: bool, **options: Any) -> int:
    """A causal network on a running video. Raises ValueNotAllowed where it cannot play, or not to its end."""
    from dataclasses import asdict

    from bench.models.streaming.player import Wish, summary_lines, watch
    from bench.models.streaming.screen import screen_for
    from bench.spec.schema import parse_duration

    wish = Wish(**options, seconds=None if duration is None else parse_duration(duration))
    summary = watch(wish, screen_for(Console(), silent=as_json), strategies_dir)
    if as_json:
        print(json.dumps(asdict(summary), ensure_ascii=False))
    else:
        for line in summary_lines(summary):
            print(line)
    if summary.stopped:
        raise ValueNotAllowed(summary.stopped)
    return 0
