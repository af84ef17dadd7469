"""The settings in force and the sensors of a device in words: ``cudnn_benchmark False`` -> cuDNN autotuning frozen.

Both come as text, ``name value, name value``. What is not named here stays in the table of how each setting was
measured, where the text is shown as it is.
"""

from collections.abc import Sequence

from bench.report.numbers import fixed, listed, number
from bench.report.selection import Row

_SWITCHES = {
    "cudnn_benchmark": (
        "cuDNN autotuning on: algorithms may differ from process to process",
        "cuDNN autotuning frozen",
    ),
    "cudnn_tf32": ("TF32 on in convolutions", "TF32 off in convolutions"),
    "matmul_tf32": ("TF32 on in matrix products", "TF32 off in matrix products"),
    "mkldnn": ("oneDNN on", "oneDNN off"),
}
_READINGS = {
    "sm_mhz": ("clock", "MHz"),
    "memory_mhz": ("memory clock", "MHz"),
    "power_w": ("power", "W"),
    "temperature_c": ("temperature", "°C"),
}


def condition_sentences(quality: Sequence[Row]) -> list[str]:
    """Each device's settings and readings; settings that differ are told one after the other."""
    told = [("Settings in force", settings_text, "backend"), ("Sensors (median)", sensors_text, "sensors")]
    sentences = []
    for head, text_of, column in told:
        texts: dict[str, list[str]] = {}
        for row in quality:
            text = text_of(row.get(column))
            if text:
                texts.setdefault(text, []).append(str(row["device"]))
        sentences += [f"{head}, {listed(list(dict.fromkeys(on)))}: {text}." for text, on in texts.items()]
    return sentences


def settings_text(text: object) -> str:
    """``cuDNN autotuning frozen, TF32 off in matrix products``; empty where nothing known is said."""
    found = [
        _SWITCHES[name][value == "False"]
        for name, value in _pairs(text)
        if name in _SWITCHES and value in ("True", "False")  # torch may call a setting mixed
    ]
    return ", ".join(found)


def sensors_text(text: object) -> str:
    """``clock 1755 MHz, power 310 W, temperature 61 °C``."""
    readings = [(_READINGS[name], number(value)) for name, value in _pairs(text) if name in _READINGS]
    return ", ".join(f"{name} {fixed(value, 0)} {unit}" for (name, unit), value in readings if value == value)


def _pairs(text: object) -> list[tuple[str, str]]:
    parts = text.split(",") if isinstance(text, str) else []
    return [(name, value) for name, _, value in (part.strip().partition(" ") for part in parts)]
