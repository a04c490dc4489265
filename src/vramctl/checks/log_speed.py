"""Checks of a log: slow although it works: another build was faster, the build is a debug one, the disk is slow, models swap."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

from vramctl.checks.evidence import events, finding, how_often, in_words, load_name, size_of, text_of
from vramctl.checks.failure_modes import environment_step
from vramctl.checks.modes import BY_ID
from vramctl.records.event import Event
from vramctl.records.finding import Finding
from vramctl.records.load import FAILED, PARTIAL, Load, Log

# Beyond what repeated runs of one build differ by (llama-bench prints a few per cent).
_SLOWER = 1.25
_RELOADS = 3
_LARGE_BUFFERS = 2 << 30
_EVICTIONS = ("fit.evict_for_gpu", "fit.evict_for_ram", "fit.server_exceeds")


def engine_regression_after_update(log: Log, platform: str) -> Iterator[Finding]:
    """The same work with the same options, done twice in this log, is much slower in one of them or does not fit any more."""
    yield from _buffer_grew(log, platform)
    rows = events(log, "bench.row")
    best: tuple[float, Event, Event] | None = None
    for index, row in enumerate(rows):
        for other in rows[index + 1 :]:
            if _work(row) != _work(other):
                continue
            speeds = _speed(row), _speed(other)
            if min(speeds) <= 0:
                continue
            ratio = max(speeds) / min(speeds)
            if ratio >= _SLOWER and (best is None or ratio > best[0]):
                best = (ratio, *((row, other) if speeds[0] > speeds[1] else (other, row)))
    if best is None:
        if log.loads and any(load.outcome == FAILED for load in log.loads):
            return
        yield from _timings_differ(log, platform)
        return
    ratio, fast, slow = best
    named = [name for name in (_build_of(slow, log), _build_of(fast, log)) if name]
    differ = len(set(named)) == len(("slow", "fast"))
    yield finding(
        "warning",
        f"{named[0]} runs the same test {ratio:.1f} times slower than {named[1].lower()}: {_speed(slow):g} against "
        f"{_speed(fast):g} tokens per second."
        if differ
        else f"The same test runs {ratio:.1f} times slower in one of the runs of this log: {_speed(slow):g} against "
        f"{_speed(fast):g} tokens per second.",
        (
            f"{slow.fields.get('test')} of {slow.fields.get('model')} with the same options",
            "" if differ else "what changed between the runs is not printed: the build, or a variable",
            ""
            if slow.fields.get("backend") == fast.fields.get("backend")
            else f"the rows name the back ends {fast.fields.get('backend')} (fast) and {slow.fields.get('backend')} (slow)",
        ),
        BY_ID["engine-regression-after-update"].fix(platform),
        (fast, slow, *events(log, "bench.build")[:2]),
    )


def _build_of(row: Event, log: Log) -> str:
    """The build that measured a row: llama-bench prints it below its table; empty where no line does."""
    for event in events(log, "bench.build"):
        if event.line > row.line:
            number, commit = event.fields.get("build"), text_of(event, "commit")
            return f"Build {number} ({commit})" if commit else f"Build {number}"
    return ""


def _buffer_grew(log: Log, platform: str) -> Iterator[Finding]:
    """The same load with another build fails for memory where the one before was placed."""
    placed: dict[tuple[str, ...], Load] = {}
    for load in log.loads:
        key = tuple(str(value) for value in (load.model.path, load.settings.ctx, load.layers_on_gpu))
        before = placed.get(key)
        if load.outcome == FAILED and before is not None and isinstance(load.build, str) and load.build != before.build:
            failed = events(load, "memory.alloc_failed")
            asked = max((size for event in failed if (size := size_of(event.fields.get("size")))), default=0)
            had = max((use.compute_bytes for use in before.on_gpus if isinstance(use.compute_bytes, int)), default=0)
            if asked > 2 * had > 0:
                grown = finding(
                    "error",
                    f"{load.build.capitalize()} asks for a buffer of {in_words(asked)} where {before.build} needed "
                    f"{in_words(had)} for the same model "
                    "and options, and runs out of memory.",
                    (
                        (
                            f"{before.build} loaded it (line {before.lines[0]}), {load.build} does not (line "
                            f"{load.lines[0]})"
                        ),
                        (
                            f"context {load.settings.ctx}, {load.layers_on_gpu} of {load.layers_total} layers on the "
                            "GPU in both"
                        ),
                    ),
                    f"Stay on {before.build} and report both figures upstream; until it is fixed a smaller "
                    "context or micro-batch (`-ub`) fits.",
                    (*events(before, "compute.buffer")[:1], *failed[:2]),
                )
                yield replace(grown, title="Another version of the engine needs more memory for the same load")
                return
        if load.ready or load.outcome != FAILED:
            placed[key] = load


def _work(row: Event) -> tuple[str, ...]:
    """What a row of llama-bench measured, apart from the speed: model, backend's options and test."""
    left_out = {"per_second", "spread", "backend"}
    return tuple(sorted(f"{name}={value}" for name, value in row.fields.items() if name not in left_out))


def _speed(row: Event) -> float:
    value = row.fields.get("per_second")
    return value if isinstance(value, float) else 0.0


def _timings_differ(log: Log, platform: str) -> Iterator[Finding]:
    """Two prompts of the same length at very different speed while generation is the same."""
    rows = [
        e for e in events(log, "timing.prompt") if isinstance(e.fields.get("tokens"), int) and e.fields["tokens"] > 256
    ]
    for index, row in enumerate(rows):
        for other in rows[index + 1 :]:
            speeds = _speed(row), _speed(other)
            if row.fields["tokens"] != other.fields["tokens"] or min(speeds) <= 0 or max(speeds) / min(speeds) < 2:
                continue
            if _same_server(row, other, log):
                continue
            slow, fast = (row, other) if speeds[0] < speeds[1] else (other, row)
            yield finding(
                "warning",
                f"A prompt of {row.fields['tokens']} tokens is read {_speed(fast) / _speed(slow):.1f} times slower in one run "
                f"of this log than in another: {_speed(slow):g} against {_speed(fast):g} tokens per second.",
                (
                    "between the runs the build or an option changed",
                    "if generation is equal, what is slow is moving weights to the GPU for the prompt",
                ),
                f"{BY_ID['engine-regression-after-update'].fix(platform)} With tensors in system memory a larger "
                "micro-batch "
                "(`-b 4096 -ub 4096`) moves them less often; check the PCIe link too.",
                (slow, fast),
            )
            return


def _same_server(row: Event, other: Event, log: Log) -> bool:
    """Whether one running server timed both: then the slower prompt shared the GPU with other requests, no build changed."""
    if "slot" not in row.fields or "slot" not in other.fields:
        return False
    starts = [load.lines[0] for load in log.loads]
    return not any(row.line < start < other.line for start in starts)


def debug_build(log: Log, platform: str) -> Iterator[Finding]:
    """A line appears that only builds without NDEBUG print: not a release build."""
    found = events(log, "graph.cuda_graphs_disabled")
    found = tuple(event for event in found if event.level in {"", "DEBUG"})
    told = tuple(event for event in events(log, "build.info") if event.fields.get("mode") == "debug")
    if found or told:
        yield finding(
            "warning",
            "The engine is a debug build: it is compiled without optimisation and slow wherever the CPU works.",
            (
                "its build line says (debug)" if told else "",
                f"{how_often(log, found[0].kind)} lines that only builds without NDEBUG print" if found else "",
            ),
            BY_ID["debug-build"].fix(platform),
            (*told, *found),
            most=2,
        )


def flash_attn_disabled(log: Log, platform: str) -> Iterator[Finding]:
    """Flash attention was wanted and is not there."""
    found = events(log, "flash.unsupported", "flash.device_mismatch")
    if found:
        yield finding(
            "warning",
            "Flash attention was wanted but is off: the cache and the buffers are larger, long prompts slower.",
            (found[0].text,),
            "The model or the GPU does not support it; a newer engine may. Without it keep the KV cache at f16.",
            found,
        )
        return
    placed = [load for load in log.loads if load.outcome not in {PARTIAL, FAILED}]
    largest = max(placed, key=flash_attn_off, default=None)
    if largest is not None and flash_attn_off(largest) > _LARGE_BUFFERS:
        yield finding(
            "info",
            f"Flash attention is off: the compute buffers of {load_name(largest)} take {in_words(flash_attn_off(largest))} "
            "of the GPUs.",
            (f"context of {largest.settings.ctx} tokens",),
            BY_ID["flash-attn-disabled"].fix(platform),
            events(largest, "compute.buffer")[:2],
        )


def flash_attn_off(load: Load) -> int:
    """Bytes of the GPUs' compute buffers of a load whose flash attention is off; 0 where it is on or not printed."""
    if load.settings.flash_attn not in {"off", "disabled"}:
        return 0
    return sum(use.compute_bytes for use in load.on_gpus if isinstance(use.compute_bytes, int))


def ollama_kv_type_without_fa(log: Log, platform: str) -> Iterator[Finding]:
    """A quantised cache was asked for and is f16, for lack of flash attention."""
    found = events(log, "flash.kv_type_ignored", "kv.type_unsupported")
    # The Ollama engine prints it for some models even where nobody asked for a type.
    found = tuple(
        event for event in found if event.kind == "flash.kv_type_ignored" or text_of(event, "type") not in {"", "f16"}
    )
    if found:
        yield finding(
            "warning",
            "The quantised KV cache that was asked for is not used.",
            (found[0].text,),
            environment_step("OLLAMA_FLASH_ATTENTION=1", platform),
            found,
        )


def reload_thrash(log: Log, platform: str) -> Iterator[Finding]:
    """The same model is loaded several times while it could have stayed."""
    by_model: dict[str, list[Load]] = {}
    for load in log.loads:
        if load.outcome != FAILED and log.source.engine == "ollama":
            by_model.setdefault(str(load.model.path), []).append(load)
    if len(by_model) != 1:
        return
    for loads in by_model.values():
        changed = [pair for pair in pairwise(loads) if pair[0].settings.ctx != pair[1].settings.ctx]
        contexts = sorted({load.settings.ctx for load in loads if isinstance(load.settings.ctx, int)})
        if len(loads) < _RELOADS or not changed or len(contexts) < 2:
            continue
        seconds = sum(load.load_seconds for load in loads if isinstance(load.load_seconds, float))
        yield finding(
            "warning",
            f"{load_name(loads[0])} was loaded {len(loads)} times ({seconds:.0f} s of loading) because requests "
            "ask for different contexts.",
            (f"contexts asked for: {', '.join(map(str, contexts))}",),
            BY_ID["reload-thrash"].fix(platform),
            _commands(loads),
        )


def models_evict_each_other(log: Log, platform: str) -> Iterator[Finding]:
    """Models take turns in memory: each request of the other one loads it again."""
    evictions = events(log, *_EVICTIONS)
    loads = [load for load in log.loads if load.outcome != FAILED]
    names = [str(load.model.path) for load in loads]
    swaps = sum(first != second for first, second in pairwise(names))
    if len(set(names)) < 2 or swaps < 2 or len(names) <= len(set(names)) or not evictions:
        return
    seconds = sum(load.load_seconds for load in loads if isinstance(load.load_seconds, float))
    models = sorted({load_name(load) for load in loads})
    yield finding(
        "warning",
        f"{' and '.join(models)} push each other out of memory: {len(names)} loads, {seconds:.0f} s spent on loading.",
        (f"{how_often(log, *_EVICTIONS)} evictions", f"the models changed places {swaps} times"),
        BY_ID["models-evict-each-other"].fix(platform),
        (*evictions[:2], *_commands(loads)[:2]),
    )


def _commands(loads: list[Load]) -> tuple[Event, ...]:
    return tuple(event for load in loads for event in events(load, "runner.command")[:1])


def no_tensor_cores(log: Log, platform: str) -> Iterator[Finding]:
    """A Turing card without the units that this build's kernels want."""
    found = events(log, "gpu.no_tensor_cores")
    if found:
        yield finding(
            "info",
            "This GPU has no tensor cores, and the build's kernels for its generation are made for them: prompts are slow.",
            (found[0].text,),
            BY_ID["no-tensor-cores"].fix(platform),
            found,
        )
