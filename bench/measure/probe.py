"""A process that makes networks from elsewhere once, before anything is measured: their code may raise, hang or die."""

from bench.models import build, sites
from bench.models.network import NO_SITES
from bench.system import workers


def answer(job: workers.Event, emit: workers.Emit) -> None:
    """An event ``fault`` for each of ``job["names"]`` that cannot be made or has no place for a strategy."""
    for name in job["names"]:
        try:
            if not sites(build(name, 1)):
                emit({"event": "fault", "reason": f"backbone {name!r} has {NO_SITES}"})
        except ValueError as error:
            emit({"event": "fault", "reason": str(error)})


if __name__ == "__main__":
    workers.serve(answer)
