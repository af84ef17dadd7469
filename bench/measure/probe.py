"""A process that makes networks once, before anything is measured: those from elsewhere, whose code may raise, hang or
die, and those that are given weights, which may be another network's or have to be downloaded."""

from bench.models import build, sites
from bench.models.network import NO_SITES
from bench.spec.axes import is_elsewhere
from bench.system import workers

_FRAMES = 8  # enough for any network


def answer(job: workers.Event, emit: workers.Emit) -> None:
    """An event ``fault`` for each of ``job["networks"]``, pairs of a name and its weights as ``build`` takes them, that
    cannot be made, and for each from elsewhere that has no place for a strategy."""
    for name, weights in job["networks"]:
        try:
            network = build(name, _FRAMES, weights)
            if is_elsewhere(name) and not sites(network):
                emit({"event": "fault", "reason": f"backbone {name!r} has {NO_SITES}"})
        except ValueError as error:
            emit({"event": "fault", "reason": str(error)})


if __name__ == "__main__":
    workers.serve(answer)
