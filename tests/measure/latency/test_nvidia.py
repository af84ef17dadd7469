"""What a driver says, from a fake one: units, what it cannot tell, which device it is asked for, reasons in words."""

import math

import pytest

from bench.measure.latency import nvidia
from tests.measure.latency.simulated_gpu import FULL_MHZ, FakeNvml


def test_all_sensors_are_read_in_their_units() -> None:
    gpu = nvidia.visible_gpu("simulated", FakeNvml())
    assert gpu.sensors() == {
        "sm_mhz": FULL_MHZ,
        "memory_mhz": 1593,
        "power_w": 350.0,
        "temperature_c": 61,
        "throttle_reasons": 0,
        "throttled": 0,
    }
    assert gpu.driver == "590.01"


@pytest.mark.parametrize(
    ("missing", "unknown"),
    [
        (["nvmlDeviceGetPowerUsage"], {"power_w"}),
        (["nvmlDeviceGetClockInfo"], {"sm_mhz", "memory_mhz"}),
        (["nvmlDeviceGetCurrentClocksEventReasons"], set()),  # a driver before 535 knows the old name
        (
            ["nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"],
            {"throttle_reasons", "throttled"},
        ),
    ],
)
def test_what_a_driver_cannot_tell_is_not_known(missing: list[str], unknown: set[str]) -> None:
    nvml = FakeNvml(missing=missing)
    nvml.bits = 0x40
    sensors = nvidia.visible_gpu("simulated", nvml).sensors()
    assert {name for name, value in sensors.items() if math.isnan(value)} == unknown
    assert "throttled" in unknown or sensors["throttled"] == 1


def test_without_package_or_driver_nothing_is_known_and_nothing_raised() -> None:
    for gpu in (nvidia.Gpu(), nvidia.visible_gpu("simulated", FakeNvml(missing=["nvmlInit"]))):
        assert (gpu.known, gpu.sensors(), gpu.driver) == (False, {}, "")
        assert math.isnan(gpu.sm_mhz())
        assert math.isnan(gpu.throttle_reasons())
    assert isinstance(nvidia.visible_gpu().sensors(), dict)  # whatever this machine has


@pytest.mark.parametrize(
    ("uuid", "visible", "uuids", "found"),
    [
        ("b", "", ["GPU-a", "GPU-b"], "GPU-b"),
        ("m", "", ["GPU-a", "MIG-m"], "MIG-m"),
        ("x", "", ["GPU-a", "GPU-b"], None),  # another device's clock is worse than none
        (None, "GPU-b,GPU-a", ["GPU-a", "GPU-b"], "GPU-b"),
        (None, "1", ["GPU-a", "GPU-b"], None),  # CUDA and the driver count differently
        (None, "", ["GPU-a"], "GPU-a"),
    ],
)
def test_the_driver_is_asked_for_the_device_that_torch_uses(
    uuid: str | None, visible: str, uuids: list[str], found: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    nvml = FakeNvml(uuids)
    nvidia.visible_gpu(uuid, nvml).sensors()
    assert nvml.asked == ({found} if found else set())


@pytest.mark.parametrize(
    ("bits", "words", "throttled"),
    [
        (0x000, (), False),
        (0x001, ("idle",), False),
        (0x006, ("application clocks", "software power cap"), False),
        (0x024, ("software power cap", "software thermal slowdown"), True),
        (0x048, ("hardware slowdown", "hardware thermal slowdown"), True),
        (0x080, ("power brake",), True),
        (0x800, ("bit 11",), False),
    ],
)
def test_reasons_in_words_and_which_of_them_disturb(bits: int, words: tuple[str, ...], throttled: bool) -> None:
    assert nvidia.reason_names(bits) == words
    assert nvidia.is_throttled(bits) == throttled
