"""Checks of the GPU's state: power, heat, clocks, link."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from vramctl.checks.modes import BY_ID
from vramctl.checks.runner import Check, NotKnown, NotThere, known
from vramctl.records.facts import HostFacts, Nvml, NvmlGpu, Platform
from vramctl.records.finding import INFO, WARNING, Finding
from vramctl.records.unknown import Unknown

# NVML's bits of why clocks are lower than they could be.
_APPLICATION_CLOCKS, _POWER_CAP, _HARDWARE, _SOFT_HEAT, _HARD_HEAT, _POWER_BRAKE = 0x2, 0x4, 0x8, 0x20, 0x40, 0x80
_HOT = {
    _SOFT_HEAT: "software thermal slowdown",
    _HARD_HEAT: "hardware thermal slowdown",
    _POWER_BRAKE: "power brake",
    _HARDWARE: "hardware slowdown",
}
_BUSY_PERCENT = 80
_LOWERED = 0.95
_FAR_BELOW = 0.6
_SLOW_START_SECONDS = 1.0
_NO_TENSOR_CORES = re.compile(r"\bGTX 16\d\d|\bMX4?50\b|\bMX550\b")


def power_cap(gpu: NvmlGpu, platform: Platform) -> Iterator[Finding]:
    """
    The GPU's power limit was lowered below its default.

    Why it matters: prompts are read more slowly; generation, which waits for memory, loses little. At the default limit
    "SW Power Cap" under load is normal and nothing is said.

    How it is seen: NVML's enforced limit is more than 5 % below the default limit. Laptops move their limit by
    themselves and are left out.

    How sure: certain that it is lower; somebody may have wanted it.
    """
    if isinstance(gpu.name, str) and re.search(r"laptop|max-q|mobile", gpu.name, re.IGNORECASE):
        raise NotThere("a laptop moves its limit by itself")
    limit, default = known(gpu.power_limit_watts), known(gpu.default_power_limit_watts)
    if 0 < limit < _LOWERED * default:
        yield Finding(
            WARNING,
            f"GPU {gpu.index} is limited to {limit:.0f} W; its default is {default:.0f} W.",
            (f"NVML on GPU {gpu.index}: enforced limit {limit:.0f} W, default {default:.0f} W",),
            BY_ID["power-cap"].fix(platform.kind).replace("WATTS", f"{default:.0f}").replace("INDEX", str(gpu.index)),
        )


def thermal_throttle(gpu: NvmlGpu) -> Iterator[Finding]:
    """
    The GPU slows down because of heat or of the power supply.

    Why it matters: speed falls some minutes into a long generation and comes back when the card has cooled.

    How it is seen: NVML's reasons for lower clocks: software or hardware thermal slowdown, power brake. The temperature
    is shown; that of a GeForce's memory is not told.

    How sure: certain for the moment of the look; one look may miss it.
    """
    reasons = known(gpu.throttle_reasons)
    hot = [text for bit, text in _HOT.items() if reasons & bit]
    if hot:
        degrees = f", {gpu.temperature_celsius:.0f} °C" if isinstance(gpu.temperature_celsius, int | float) else ""
        yield Finding(
            WARNING,
            f"GPU {gpu.index} is slowed down: {', '.join(hot)}{degrees}.",
            (f"NVML on GPU {gpu.index}: clock event reasons 0x{reasons:x}{degrees}",),
            BY_ID["thermal-throttle"].fix("any"),
        )


def pcie_link_degraded(gpu: NvmlGpu, platform: Platform) -> Iterator[Finding]:
    """
    The PCIe link is narrower than card and slot allow, or slow under load.

    Why it matters: loading takes longer, and layers on the CPU or a split over several GPUs slow down; a model that is
    wholly on one GPU generates at full speed.

    How it is seen: NVML's current width against the largest that card and slot allow; the generation only while the GPU
    works, as it falls to 1 at idle to save power. In virtual machines both are the hypervisor's invention and are left
    out.

    How sure: high.
    """
    if isinstance(platform.hypervisor, Unknown) and platform.system == "linux":
        raise NotKnown(platform.hypervisor.reason)
    if platform.hypervisor:
        raise NotThere("a virtual machine does not show the real link")
    width, widest = known(gpu.link_width), known(gpu.max_link_width)
    generation, newest = known(gpu.link_generation), known(gpu.max_link_generation)
    evidence = (f"NVML on GPU {gpu.index}: generation {generation} of {newest}, x{width} of x{widest}",)
    fix = BY_ID["pcie-link-degraded"].fix("any")
    busy = isinstance(gpu.utilization_percent, int) and gpu.utilization_percent >= _BUSY_PERCENT
    if 0 < width * 4 <= widest:
        yield Finding(WARNING, f"GPU {gpu.index} is linked by {width} of {widest} PCIe lanes.", evidence, fix)
    elif busy and 0 < generation < newest:
        yield Finding(
            WARNING,
            f"GPU {gpu.index} works at PCIe generation {generation}; card and slot could run {newest}.",
            (*evidence, f"utilization {gpu.utilization_percent} %"),
            fix,
        )
    elif 0 < width < widest:
        yield Finding(
            INFO,
            f"GPU {gpu.index} is linked by {width} of {widest} PCIe lanes; on one GPU this costs load time alone.",
            evidence,
            fix,
        )


def pstate_stuck(gpu: NvmlGpu, platform: Platform) -> Iterator[Finding]:
    """
    The GPU works at clocks far below its own, without heat or power as a reason.

    Why it matters: generation follows the memory clock. A clock lock that somebody left (`nvidia-smi -lgc`, `-lmc`)
    stays until the driver is loaded anew.

    How it is seen: at 80 % utilization or more, the memory clock is below 60 % of its maximum or the performance state
    is P3 or lower, and NVML names no heat and no power limit. P2 is what GeForce cards use for CUDA, and idle clocks
    say nothing.

    How sure: high under load; without load nothing is said.
    """
    busy = known(gpu.utilization_percent)
    if busy < _BUSY_PERCENT:
        return
    reasons = gpu.throttle_reasons if isinstance(gpu.throttle_reasons, int) else 0
    if reasons & (_POWER_CAP | _HARDWARE | _SOFT_HEAT | _HARD_HEAT | _POWER_BRAKE):
        return
    state = gpu.performance_state if isinstance(gpu.performance_state, int) else 0
    clock, most = known(gpu.memory_clock_mhz), known(gpu.max_memory_clock_mhz)
    if (state >= 3 and clock < most) or 0 < clock < _FAR_BELOW * most:
        locked = "; clocks were set by hand" if reasons & _APPLICATION_CLOCKS else ""
        yield Finding(
            WARNING,
            f"GPU {gpu.index} works at {clock} of {most} MHz memory clock (P{state}){locked}.",
            (
                f"NVML on GPU {gpu.index}: utilization {busy} %, P{state}, memory {clock} of {most} MHz, reasons 0x{reasons:x}",
            ),
            BY_ID["pstate-stuck"].fix(platform.kind),
        )


def persistence_mode_off(gpu: NvmlGpu, nvml: Nvml, platform: Platform) -> Iterator[Finding]:
    """
    Persistence mode is off on a machine without a screen on the GPU.

    Why it matters: whenever the last program leaves the GPU the driver shuts it down, and the next one waits for
    seconds; Ollama's discovery may time out.

    How it is seen: NVML's persistence mode and display state, and how long NVML took to start. It is a warning only
    where that was slow; desktops, Windows, WSL and containers are left out.

    How sure: high.
    """
    if platform.system != "linux" or platform.wsl or platform.container:
        raise NotThere("it matters on Linux hosts only")
    if known(gpu.persistence) or known(gpu.display_active):
        return
    seconds = nvml.init_seconds if isinstance(nvml.init_seconds, int | float) else 0.0
    if seconds > _SLOW_START_SECONDS:
        yield Finding(
            WARNING,
            f"Persistence mode is off for GPU {gpu.index}, which has no screen: the driver took {seconds:.1f} s to start it.",
            (f"NVML on GPU {gpu.index}: persistence off, no display", f"NVML started in {seconds:.1f} s"),
            BY_ID["persistence-mode-off"].fix("linux"),
        )


def on_battery_or_undersized_power(gpu: NvmlGpu, host: HostFacts, platform: Platform) -> Iterator[Finding]:
    """
    The machine runs on its battery or on too weak an adapter.

    Why it matters: firmware lowers the GPU's power to a fraction.

    How it is seen: NVML's power source, else the battery's state.

    How sure: high.
    """
    source = gpu.power_source
    if isinstance(source, str) and source in {"battery", "undersized"}:
        yield _weak(
            f"GPU {gpu.index} gets its power from {'the battery' if source == 'battery' else 'an adapter that is too weak'}.",
            f"NVML on GPU {gpu.index}: power source {source}",
            platform,
        )
        return
    if host.on_battery is True:
        yield _weak("The machine runs on its battery, which slows the GPU down.", "battery: not plugged in", platform)
    elif isinstance(source, Unknown) and isinstance(host.on_battery, Unknown):
        raise NotKnown(host.on_battery.reason)


def _weak(what: str, seen: str, platform: Platform) -> Finding:
    return Finding(WARNING, what, (seen,), BY_ID["on-battery-or-undersized-power"].fix(platform.kind))


def no_tensor_cores(gpu: NvmlGpu) -> Iterator[Finding]:
    """
    A Turing GPU without tensor cores (GTX 16, MX450, MX550).

    Why it matters: it runs the kernels of compute capability 7.5 without the units that they are made for; other
    kernels are faster on it. It is a limit of the hardware, not a fault.

    How it is seen: the GPU's name with compute capability 7.5.

    How sure: high.
    """
    if known(gpu.compute_capability) == (7, 5) and _NO_TENSOR_CORES.search(known(gpu.name)):
        yield Finding(
            INFO,
            f"GPU {gpu.index} ({gpu.name}) has no tensor cores: prompts are read slower than its compute capability 7.5 "
            "suggests.",
            (f"NVML on GPU {gpu.index}: {gpu.name}, compute capability 7.5",),
            BY_ID["no-tensor-cores"].fix("any"),
        )


def engine_regression_after_update(log_findings: tuple[Finding, ...]) -> Iterator[Finding]:
    """
    The same work with the same options is much slower, or does not fit any more, with another build of the engine.

    Why it matters: kernels and schedulers change every week; single GPU families get slower with an update.

    How it is seen: a log that has both builds: rows of llama-bench, or two loads of one model with one set of options.

    How sure: medium - clocks and what else ran at that time are not in the log.
    """
    return iter(())


def uma_memory_not_reported(gpu: NvmlGpu, cuda: Any = None) -> Iterator[Finding]:
    """
    A GPU that uses the system's memory, and whose driver gives no memory size.

    Why it matters: tools that read NVML show 0 bytes for GB10 and Jetson. Nothing is wrong: the size is taken from the
    system's memory.

    How it is seen: NVML answers NOT_SUPPORTED for memory, and the GPU is one of those.

    How sure: certain.
    """
    if gpu.integrated is True and isinstance(gpu.total_bytes, int) and isinstance(gpu.used_bytes, Unknown):
        yield Finding(
            INFO,
            f"GPU {gpu.index} shares the system's memory; its size is taken from there.",
            (f"NVML on GPU {gpu.index}: memory not supported", f"MemTotal {gpu.total_bytes} bytes"),
            BY_ID["uma-memory-not-reported"].fix("any"),
        )
    elif isinstance(gpu.total_bytes, Unknown):
        raise NotKnown(gpu.total_bytes.reason)


CHECKS: tuple[Check, ...] = (
    on_battery_or_undersized_power, thermal_throttle, power_cap, pstate_stuck, pcie_link_degraded, persistence_mode_off,
    no_tensor_cores, uma_memory_not_reported, engine_regression_after_update,
)  # fmt: skip
