"""What moves the processor's clock: virtual machine, frequency governor, turbo, battery."""

from bench.system.doctor.advice import Advice, Unknown, note, ok, warning
from bench.system.doctor.capabilities import cpu_flags
from bench.system.doctor.probe import Probe

_CPU = "sys/devices/system/cpu"
_DMI = "sys/class/dmi/id"
_VIRTUAL = ("KVM", "QEMU", "VMware", "VirtualBox", "Virtual Machine", "HVM domU", "Google Compute Engine", "Amazon EC2")
_TURBO = {  # file -> (what it holds while turbo is on, what to write to turn it off)
    f"{_CPU}/intel_pstate/no_turbo": ("0", "1"),
    f"{_CPU}/cpufreq/boost": ("1", "0"),
}


def virtual_machine(probe: Probe) -> list[Advice]:
    """Inside a virtual machine neither the clock nor the neighbours on the same host can be seen or held."""
    virtual, product = _virtual(probe)
    if virtual is None:
        raise Unknown("virtual machine or not")
    if not virtual:
        return ok("no virtual machine")
    return [
        note(
            "this is a virtual machine" + (f" ({product})" if product else ""),
            "its clock frequency and its neighbours on the same host change unseen: drift, and wider intervals",
            "nothing from inside a virtual machine; give a larger --budget",
        )
    ]


def governor(probe: Probe) -> list[Advice]:
    """How the kernel chooses the clock of the usable cores."""
    files = (probe.text(f"{_CPU}/cpu{core}/cpufreq/scaling_governor") for core in sorted(probe.usable()))
    governors = sorted({text for text in files if text})
    if not governors:
        return _out_of_reach(probe, "frequency governor")
    what = f"the frequency governor is {' and '.join(governors)}"
    if governors == ["performance"]:
        return ok(what)
    return [
        warning(
            what,
            "the clock follows the load: slots after a pause run slower, and cases drift",
            f"sudo cpupower frequency-set -g performance (afterwards: -g {governors[0]})",
        )
    ]


def turbo(probe: Probe) -> list[Advice]:
    """Whether the clock may exceed its nominal frequency while heat and power allow."""
    for path, (on, off_value) in _TURBO.items():
        if (text := probe.text(path)) is not None:
            if text != on:
                return ok("turbo is off")
            return [
                note(
                    "turbo is on",
                    "the clock depends on heat and on how many cores are busy: it drifts over minutes (superblocks "
                    "cancel that in the overheads, not in latency_ms)",
                    f"for steadier latencies: echo {off_value} | sudo tee /{path} (afterwards: echo {on})",
                )
            ]
    return _out_of_reach(probe, "turbo")


def battery(probe: Probe) -> list[Advice]:
    """A laptop on battery saves power by lowering its clock. Nothing is said where there is no battery."""
    plugged = probe.on_mains()
    if plugged is None:
        return []
    if plugged:
        return ok("on mains power")
    return [
        warning(
            "this laptop runs on battery",
            "power saving lowers the clock, more so as the charge falls",
            "plug it in, and choose the highest power profile",
        )
    ]


def _out_of_reach(probe: Probe, what: str) -> list[Advice]:
    """Inside a virtual machine that was said already; elsewhere it is not known."""
    if _virtual(probe)[0]:
        return []
    raise Unknown(what)


def _virtual(probe: Probe) -> tuple[bool | None, str]:
    """(inside a virtual machine or not, None where unknown; the product's name).

    On x86 the flag ``hypervisor`` decides. Elsewhere the names in the firmware's tables do; bare-metal machines of a
    cloud carry the same vendor, but ``metal`` in the product.
    """
    product = probe.text(f"{_DMI}/product_name") or ""
    named = f"{probe.text(f'{_DMI}/sys_vendor') or ''} {product}".strip()
    flags = cpu_flags(probe)
    if "fpu" in flags:  # an x86 processor
        return "hypervisor" in flags, product
    if not named:
        return None, ""
    return any(word in named for word in _VIRTUAL) and "metal" not in product, product
