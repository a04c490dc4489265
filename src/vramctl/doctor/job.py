"""Look, check, conclude: one verdict, one root cause."""

from __future__ import annotations

from collections.abc import Iterator

from vramctl.checks.chain import ALWAYS, EXPLAINED_BY, LAYERS
from vramctl.checks.modes import TITLES
from vramctl.checks.runner import run_checks
from vramctl.doctor.facts import Asked, MachineFacts
from vramctl.doctor.looks import LOOKS
from vramctl.doctor.verdict import machine_lines, verdict
from vramctl.records.diagnosis import FINE, OK, PROBLEM, SKIPPED, UNCLEAR, Diagnosis
from vramctl.records.facts import CudaDriver, Nvml, OllamaServer
from vramctl.records.finding import ERROR, WARNING, Finding
from vramctl.records.unknown import Absent, Unknown
from vramctl.world.machine import World

__all__ = ["Asked", "MachineFacts", "diagnose", "look_at_all"]

# Without these nothing can be said of the machine.
_ESSENTIAL = ("platform", "nvml", "engines")
_NAMES = {"platform": "the operating system", "nvml": "the NVIDIA driver", "engines": "the engines", "log": "the log",
          "environment": "the process in question", "landing": "the small model"}  # fmt: skip


def diagnose(world: World, asked: Asked) -> Diagnosis:
    """What is wrong with this machine (or recording), root cause first."""
    facts = MachineFacts(world, asked, LOOKS)
    checks = run_checks(LAYERS, facts, titles=TITLES, explained_by=EXPLAINED_BY, always=ALWAYS, only=asked.only)
    found = [finding for checked in checks for finding in checked.findings]
    root = _first(found, ERROR) or _first(found, WARNING)
    status = PROBLEM if root else FINE
    blind = [] if asked.only else list(_blind(facts, asked))
    if root is None and blind:
        status = UNCLEAR
    words = verdict(facts, root, blind)
    if asked.only and root is None and not any(checked.state == OK for checked in checks):
        away = all(checked.state == SKIPPED for checked in checks)
        status = FINE if away else UNCLEAR
        words = "; ".join(
            f"{checked.id} {'does not apply here' if checked.state == SKIPPED else 'could not tell'}: {checked.why}"
            for checked in checks
        )
    lines = machine_lines(facts)
    if root is not None and root.severity == WARNING and blind:
        lines["unclear"] = "; ".join(blind)  # a warning is the first sentence: what could not be looked at is said too
    return Diagnosis(status, words, checks, root, lines)


def _blind(facts: MachineFacts, asked: Asked) -> Iterator[str]:
    """What would have to be known to say that nothing is wrong, and is not."""
    named = (("log", asked.log), ("environment", asked.pid is not None), ("landing", asked.active))
    for name in (*_ESSENTIAL, *(name for name, wanted in named if wanted)):
        found = facts.fact(name)
        if isinstance(found, Unknown):
            what = _NAMES.get(name, name)
            yield found.reason if found.reason.startswith(what) else f"{what}: {found.reason}"
    nvml, pci, engines = facts.fact("nvml"), facts.fact("pci"), facts.fact("engines")
    if isinstance(pci, Unknown) and not (isinstance(nvml, Nvml) and nvml.gpus):
        yield f"the PCI bus: {pci.reason}"
    cuda = facts.fact("cuda") if isinstance(nvml, Nvml) and nvml.gpus else None
    code = cuda.init_code if isinstance(cuda, CudaDriver) else cuda
    if isinstance(code, Unknown):
        yield f"whether CUDA starts: {code.reason}"
    found_kinds = {engine.kind for engine in engines} if isinstance(engines, tuple) else set()
    for kind in asked.engines:
        if kind == "ollama" and isinstance(facts.fact("ollama"), OllamaServer):
            continue
        if isinstance(engines, tuple | Absent) and kind not in found_kinds and kind != "tabbyapi":
            yield f"{kind} was not found here"
    if isinstance(nvml, Nvml) and nvml.gpus and isinstance(engines, tuple):
        for engine in engines:
            if isinstance(engine.devices, Unknown) and isinstance(engine.ended, str) and engine.ended:
                yield f"{engine.kind} gave no usable list of devices: {engine.devices.reason}"


def look_at_all(world: World, asked: Asked) -> None:
    """Look at every fact, also behind blockers: for a recording that can be replayed when checks have changed."""
    facts = MachineFacts(world, asked, LOOKS)
    for name in LOOKS:
        facts.fact(name)


def _first(found: list[Finding], severity: str) -> Finding | None:
    return next((finding for finding in found if finding.severity == severity), None)
