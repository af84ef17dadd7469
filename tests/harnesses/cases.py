"""What every tool has to estimate: stacks of identical layers of ``bench.validation.worker``.

Constants only: every process of every tool imports this file, and an import of scipy here would cost each of them a
second of its time.
"""

THREADS = 2
BASE, TWIN, EFFECT = "base", "twin", "effect"
LAYERS = {BASE: 200, TWIN: 200, EFFECT: 206}
HALF, FULL = 100, 200  # two depths tell the fixed part from one layer's time

SAME, THREE = "A/A", "3 %"
CASES = {SAME: TWIN, THREE: EFFECT}  # which case is held against the base to estimate which effect
EFFECTS = tuple(CASES)
