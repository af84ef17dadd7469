"""A process that makes networks once, before anything is measured: those from elsewhere, whose code may raise, hang or
die, and those that are given weights, which may be another network's or have to be downloaded."""

import torch

from bench.models import build, channels_of, edge_of, sites
from bench.models.network import NO_SITES
from bench.spec.axes import is_elsewhere
from bench.system import workers

_FRAMES, _SIZE = 8, 64  # enough for any network


def answer(job: workers.Event, emit: workers.Emit) -> None:
    """An event ``fault`` for each of ``job["networks"]``, pairs of a name and its weights as ``build`` takes them, that
    cannot be made, and for each from elsewhere that has no place for a strategy; else ``made``, with how many classes
    it tells apart."""
    for name, weights in job["networks"]:
        try:
            network = build(name, _FRAMES, weights)
            if is_elsewhere(name) and not sites(network):
                emit({"event": "fault", "reason": f"backbone {name!r} has {NO_SITES}"})
                continue
            edge = edge_of(network.trunk, _SIZE)
            with torch.inference_mode():
                logits = network(torch.zeros(_FRAMES, channels_of(network.trunk), edge, edge))
            emit({"event": "made", "name": name, "classes": logits.shape[-1]})
        except ValueError as error:
            emit({"event": "fault", "reason": str(error)})


if __name__ == "__main__":
    workers.serve(answer)
