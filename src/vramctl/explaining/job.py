"""The explain job: judge a log's record, then let the planner say which change makes what did not fit fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from vramctl.checks.log_findings import findings
from vramctl.checks.log_memory import FAR_MORE, RAN_OUT
from vramctl.explaining.program_words import in_own_words, program_of
from vramctl.explaining.python_words import answer_in_python, finding_in_python, is_python
from vramctl.records import Unknown
from vramctl.records.change import Change, WhatFits
from vramctl.records.finding import Finding
from vramctl.records.load import FAILED, PARTIAL, Load, Log
from vramctl.units import GIB

# Findings that say that a model does not fit: their fix can be computed. So it can for memory that ran out, of any id.
_NOT_FITTING = frozenset({"partial-offload", "kv-cache-evicts-layers", "parallel-multiplies-kv", "vram-held-by-other"})
# Findings whose own fix comes first: it undoes the cause, a smaller model or context only goes round it.
_OWN_FIX_FIRST = frozenset({"multi-gpu-uneven", "ollama-num-gpu-forced"})


@dataclass(frozen=True, slots=True)
class Explained:
    """A log's record, its findings, and per load (in their order) what would make it fit, Unknown where it is not asked."""

    log: Log
    findings: tuple[Finding, ...]
    what_fits: tuple[WhatFits | Unknown, ...]


def explain(log: Log, *, compute: bool = True) -> Explained:
    """What happened in this log, root cause first. Without `compute` no planner is asked (while a log is followed)."""
    found = findings(log)
    wanted = _loads_in_question(log, found) if compute else {}
    answers = {index: _asked(log.loads[index], log) for index in set(wanted.values())}
    python = is_python(log)
    program = program_of(log, python=python)
    platform = log.source.system if isinstance(log.source.system, str) else "any"
    found = tuple(in_own_words(one, program, platform) for one in found)
    if python:
        found = tuple(finding_in_python(one) for one in found)
        answers = {index: _in_python(answer) for index, answer in answers.items()}
    not_asked = Unknown("nothing in the log says that it does not fit")
    return Explained(
        log,
        tuple(_with_changes(one, answers.get(wanted.get(one.id, -1), not_asked)) for one in found),
        tuple(answers.get(index, not_asked) for index in range(len(log.loads))),
    )


def _asked(load: Load, log: Log) -> WhatFits | Unknown:
    """The planner's answer; most logs need none, so it is imported here."""
    from vramctl.explaining.fit import what_fits

    return what_fits(load, log)


def _in_python(answer: WhatFits | Unknown) -> WhatFits | Unknown:
    """The changes as llama-cpp-python takes them."""
    told = answer if isinstance(answer, Unknown) else answer_in_python(answer)
    if isinstance(told, WhatFits) and not told.changes:
        return Unknown("llama-cpp-python has no argument for what would make it fit")
    return told


def _loads_in_question(log: Log, found: Sequence[Finding]) -> dict[str, int]:
    """For each finding about memory the load it is about: the one whose lines it quotes."""
    wanted = {}
    for one in found:
        if (one.id not in _NOT_FITTING and one.title != RAN_OUT) or one.severity == "info":
            continue
        quoted = [quote.line for quote in one.lines]
        for index, load in enumerate(log.loads):
            inside = any(load.lines[0] <= line <= load.lines[1] for line in quoted)
            if load.outcome in {PARTIAL, FAILED} and inside:
                wanted[one.id] = index
                break
    return wanted


def _with_changes(one: Finding, answer: WhatFits | Unknown) -> Finding:
    """The finding with the computed fix in the place of the estimated one."""
    if isinstance(answer, Unknown):
        return one
    changes = answer.changes
    if one.title == FAR_MORE:
        # What no GPU holds is no better off in system memory: only what leaves all layers where they are is an answer.
        most = max(change.layers_on_gpu for change in changes)
        changes = tuple(change for change in changes if change.layers_on_gpu == most)
    text = "; or ".join(_in_words(change) for change in changes)
    fix = f"{text} (computed with the planner for this model)."
    if one.id in _OWN_FIX_FIRST:
        fix = f"{one.fix} Or: {fix}"
    return replace(one, because=(*one.because, *answer.because), fix=fix)


def _in_words(change: Change) -> str:
    used, there = change.used_bytes / GIB, change.budget_bytes / GIB
    return f"`{change.option}` ({change.what}): {used:.1f} of {there:.1f} GiB"
