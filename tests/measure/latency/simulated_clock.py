"""A clock on which slots take what a simulated machine makes of their true seconds."""

import math
import random
from collections.abc import Callable
from typing import Any


class SimulatedClock:
    """One process on a machine made of arithmetic: calls return their true seconds, the clock adds what machines add.

    Log-latency = log(truth) + an effect of its own for each call, as memory layout has in a process (``process_sd``;
    in a share ``odd_rate`` of them also a slowness of the size ``odd_sd``)
    + linear drift per slot + AR(1) noise (``noise_sd``, ``autocorrelation``) + now and then a spike that doubles the
    slot (``spike_rate``) + what a slot costs more where another call ran before it (``switch_effect``).
    """

    def __init__(
        self,
        seed: int,
        *,
        noise_sd: float = 0.01,
        autocorrelation: float = 0.0,
        process_sd: float = 0.0,
        odd_rate: float = 0.0,
        odd_sd: float = 0.0,
        drift_per_slot: float = 0.0,
        spike_rate: float = 0.0,
        switch_effect: float = 0.0,
    ) -> None:
        self._rng = random.Random(seed)
        self._fresh_sd, self._rho = noise_sd * math.sqrt(1 - autocorrelation**2), autocorrelation
        self._process_sd, self._drift, self._spike_rate = process_sd, drift_per_slot, spike_rate
        self._switch_effect = switch_effect
        self._odd_rate, self._odd_sd = odd_rate, odd_sd
        self._process_effects: dict[int, float] = {}
        self._slot, self._noise, self._last = 0, 0.0, 0

    def measure(self, call: Callable[[], Any]) -> tuple[float, Any]:
        """(simulated seconds, the true seconds)."""
        truth, who, rng = call(), id(call), self._rng
        if who not in self._process_effects:
            odd = abs(rng.gauss(0.0, self._odd_sd)) if self._odd_rate and rng.random() < self._odd_rate else 0.0
            self._process_effects[who] = rng.gauss(0.0, self._process_sd) + odd
        self._slot += 1
        self._noise = self._rho * self._noise + rng.gauss(0.0, self._fresh_sd)
        log = self._process_effects[who] + self._drift * self._slot + self._noise
        if self._spike_rate and rng.random() < self._spike_rate:
            log += math.log(2.0)
        if who != self._last:
            log += self._switch_effect
        self._last = who
        return truth * math.exp(log), truth
