"""Checks of a log: what the kernel, the driver and the GPU itself report: lost, not initialised, hung, faulted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from vramctl.checks.evidence import answered, events, finding, gpu_name, saying, text_of
from vramctl.checks.modes import BY_ID
from vramctl.records.event import Event
from vramctl.records.finding import Finding
from vramctl.records.load import Log

_OFF_BUS = 79
# What NVIDIA's list of Xid numbers groups: memory, firmware processor, link; the rest is mostly software.
_XID_MEMORY, _XID_FIRMWARE, _XID_LINK = {48, 63, 64, 92, 94, 95}, {62, 119, 120}, {74}
_WRONG_ACCESS = ("illegal memory access", "misaligned address")
_FAILED_LAUNCH = ("unspecified launch failure", "launch timed out")
_HANGS = (
    "gpu.hang", "gpu.fault", "gpu.device_lost", "system.gpu_hang", "system.gpu_fault", "system.gpu_reset",
)  # fmt: skip


def gpu_fell_off_bus(log: Log, platform: str) -> Iterator[Finding]:
    """The GPU vanished from the bus while it worked."""
    xid = [e for e in events(log, "system.xid") if e.fields.get("code") == _OFF_BUS or "fallen off the bus" in e.raw]
    found = (*events(log, "system.gpu_lost"), *xid)
    if found:
        yield finding(
            "error",
            "The GPU fell off the PCIe bus: hardware, power or the slot, not the model.",
            (found[0].text, "every later call of the engine fails for the same reason"),
            BY_ID["gpu-fell-off-bus"].fix(platform),
            found,
        )


def gpu_init_failed_bar(log: Log, platform: str) -> Iterator[Finding]:
    """The driver is there and cannot initialise the adapter."""
    found = events(log, "system.gpu_init_failed")
    if found:
        yield finding(
            "error",
            "The driver cannot initialise the GPU: firmware settings (BAR, above 4G decoding), passthrough or a defect.",
            (found[0].text,),
            BY_ID["gpu-init-failed-bar"].fix(platform),
            found,
        )


def legacy_gpu_dropped_by_driver(log: Log, platform: str) -> Iterator[Finding]:
    """The installed driver does not support this GPU any more."""
    found = events(log, "system.gpu_legacy")
    if found:
        branch = text_of(found[0], "branch")
        yield finding(
            "error",
            f"The installed NVIDIA driver ignores this GPU: it needs the legacy branch {branch}.",
            (found[0].text,),
            BY_ID["legacy-gpu-dropped-by-driver"].fix(platform).replace("BRANCH", branch.partition(".")[0] or "580"),
            found,
        )


def open_kernel_module_required(log: Log, platform: str) -> Iterator[Finding]:
    """A GPU that only the open flavour of the kernel module drives."""
    found = events(log, "system.gpu_open_module")
    if found:
        yield finding(
            "error",
            "This GPU needs the open kernel modules, and the proprietary ones are installed.",
            (found[0].text,),
            BY_ID["open-kernel-module-required"].fix(platform),
            found,
        )


def gpu_hang(log: Log, platform: str) -> Iterator[Finding]:
    """The GPU hung, faulted or was reset by its driver."""
    rocm = (event for event in saying(log, *_FAILED_LAUNCH) if event.kind == "rocm.error")
    found = (*events(log, *_HANGS), *saying(log, "ErrorDeviceLost"), *rocm)
    if not found:
        return
    first = min(found, key=lambda event: event.line)
    innocent = any("context is innocent" in event.raw for event in found)
    loaded = any(load.ready or load.devices for load in log.loads)
    hung = finding(
        "error",
        f"{gpu_name(log)} hung or faulted while it computed, and its driver ended the process.",
        (
            first.text,
            "`innocent`: the work of another process or queue hung the GPU, and everything on it was reset"
            if innocent
            else "",
            "the model was loaded: memory was not the problem" if loaded else "",
        ),
        BY_ID["gpu-hang"].fix(platform),
        _one_of_each(found),
    )
    # In Ollama's log the same is what the catalogue calls a runner that died.
    yield replace(hung, id="ollama-runner-crash") if log.source.engine == "ollama" else hung


def xid_errors(log: Log, platform: str) -> Iterator[Finding]:
    """A kernel of the engine read or wrote where it may not, or NVIDIA's driver reports an Xid."""
    failed = saying(log, *_FAILED_LAUNCH)
    wrong = (*saying(log, *_WRONG_ACCESS), *(event for event in failed if event.kind != "rocm.error"))
    xid = tuple(event for event in events(log, "system.xid") if event.fields.get("code") != _OFF_BUS)
    if not (wrong or xid):
        return
    where = events(log, "cuda.error_where")
    place = text_of(where[0], "function") if where else ""
    numbers = sorted({event.fields["code"] for event in xid if isinstance(event.fields.get("code"), int)})
    named = f"Xid {', '.join(map(str, numbers))}" if numbers else ""
    what = _xid_words(numbers) if not wrong else (
        f"A GPU kernel made an illegal memory access{f' (noticed in {place})' if place else ''}: a bug of the engine "
        "or failing memory."
    )  # fmt: skip
    if wrong and "illegal" not in wrong[0].raw:
        what = (
            f"A GPU kernel failed{f' (noticed in {place})' if place else ''}: a bug of the engine, or failing hardware."
        )
    yield finding(
        "error",
        what,
        (
            *(event.text for event in (wrong or xid)[:1]),
            *(event.text for event in where[:1]),
            named if wrong else "",
            _when(log),
        ),
        BY_ID["xid-errors"].fix(platform)
        + (
            " To go on now: leave out the newest special options (fused or repacked kernels, overrides) one by one."
            if wrong
            else ""
        ),
        (*wrong, *where, *xid),
    )


def _xid_words(numbers: Iterable[int]) -> str:
    """What the driver's numbers mean, in a sentence."""
    codes = set(numbers)
    named = f"Xid {', '.join(map(str, sorted(codes)))}"
    if codes & _XID_MEMORY:
        return f"NVIDIA's driver reports an error of the GPU's memory ({named})."
    if codes & _XID_FIRMWARE:
        return f"The GPU's own firmware processor failed ({named}): driver, firmware or hardware."
    if codes & _XID_LINK:
        return f"A link between GPUs failed ({named})."
    return f"NVIDIA's driver reports a fault of the GPU while it computed ({named}): most often a bug of the engine."


def _when(log: Log) -> str:
    ready = [load for load in log.loads if load.ready]
    if not log.loads:
        return ""
    if not ready:
        return "it happened before the server was ready"
    count = answered(log)
    return f"it happened after {count} request{'s' if count != 1 else ''}" if count else "it happened while serving"


def _one_of_each(found: Iterable[Event]) -> tuple[Event, ...]:
    """One event of each kind, in the order of their lines: ten page faults say no more than one."""
    kinds: dict[str, Event] = {}
    for event in sorted(found, key=lambda event: event.line):
        kinds.setdefault(event.kind + re.sub(r"[\W\d]+.*", "", event.text), event)
    return tuple(kinds.values())
