"""The machine and its processes: environment, counters, limits, worker processes, progress, doctor. No torch."""
