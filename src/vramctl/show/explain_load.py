"""One load as text: model, layers, a bar and the bytes per device, settings, timeline and requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from vramctl.records import DeviceUse, Unknown
from vramctl.records.event import Printed
from vramctl.records.load import (
    CPU_ONLY,
    EXTENDED_LOAD,
    FAILED,
    LOAD,
    MEMORY_WATCH,
    ON_GPU,
    PARTIAL,
    Load,
    LoggedGpu,
    LoggedUse,
    Moment,
)
from vramctl.records.placement import Bytes
from vramctl.show.page import Page, labelled
from vramctl.show.plan_bar import PARTS, bar, glyph
from vramctl.show.printable import printable
from vramctl.units import GIB, MIB

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

_MOST_DEVICES, _MOST_STEPS = 4, 14
_WORTH_A_TIME, _YEARS_SECONDS = 0.05, 3e8
# Labels of the three sequences; the extended load is shown with the steps of the load that it extends.
_SEQUENCES = (("load", {LOAD}), ("extended", {LOAD, EXTENDED_LOAD}), ("memory", {MEMORY_WATCH}))
_OUTCOMES = {
    ON_GPU: ("on the GPU", "green"),
    PARTIAL: ("partly on the GPU", "yellow"),
    CPU_ONLY: ("on the CPU", "yellow"),
    FAILED: ("failed", "bold red"),
}


def load_parts(load: Load, page: Page, *, gpus: Sequence[LoggedGpu]) -> Iterator[RenderableType]:
    """A heading, the bars with their legend, then the facts."""
    yield _heading(load)
    shown = [use for use in load.devices if use.known_bytes]
    for use in shown[:_MOST_DEVICES]:
        yield from _device(use, load, gpus, page)
    if len(shown) > _MOST_DEVICES:
        from rich.text import Text

        yield Text(f"and {len(shown) - _MOST_DEVICES} more devices (--json lists them)", style="dim")
    yield labelled(list(_facts(load)))


def load_row(load: Load) -> Text:
    """A load on one line."""
    from rich.text import Text

    words, style = _OUTCOMES.get(load.outcome, ("not printed where", ""))
    seconds = f", {load.load_seconds:.1f} s" if isinstance(load.load_seconds, float) else ""
    count = load.totals.count
    requests = f", {count} request{'s' if count > 1 else ''}" if count else ""
    text = Text(f"line {load.lines[0]:>5}  ", no_wrap=True, overflow="crop")
    text.append(_placed(load, words), style=style)
    return text.append(f"{seconds}{requests}: {_name(load)}")


def _heading(load: Load) -> Text:
    from rich.text import Text

    words, style = _OUTCOMES.get(load.outcome, ("where its layers are is not printed", ""))
    model = load.model
    size = f", {_size(model.file_bytes)}" if isinstance(model.file_bytes, int) else ""
    parameters = f", {_billions(model.parameters)}" if isinstance(model.parameters, int) else ""
    text = Text(_name(load), style="bold")
    text.append(f"{parameters}{size}: ", style="")
    text.append(_placed(load, words), style=style)
    seconds = f", loaded in {load.load_seconds:.1f} s" if isinstance(load.load_seconds, float) else ""
    return text.append(f"{seconds}  (lines {load.lines[0]}-{load.lines[1]})", style="dim")


def _name(load: Load) -> str:
    model = load.model
    name = model.name if isinstance(model.name, str) else ""
    if not name and isinstance(model.path, str):
        name = model.path.replace("\\", "/").rsplit("/", 1)[-1]
        name = name[:19] if name.startswith("sha256-") else name
    if isinstance(model.quantization, str) and model.quantization.lower() not in name.lower():
        name = f"{name} {model.quantization}"
    return printable(name).strip() or "model not named"


def _placed(load: Load, outcome: str) -> str:
    """Where the layers are and what became of the load, in words."""
    on_gpu, total = load.layers_on_gpu, load.layers_total
    if not isinstance(on_gpu, int) or not isinstance(total, int):
        return outcome
    count = f"{on_gpu}/{total} layers"
    if load.outcome == FAILED:
        placed = any(isinstance(use.weights_bytes, int) and use.weights_bytes for use in load.devices)
        return f"{count} were placed, then it failed" if placed else f"failed ({count} were planned for the GPU)"
    if load.outcome == CPU_ONLY:
        return f"on the CPU ({count} on the GPU)"
    if load.outcome == PARTIAL and on_gpu == total:
        return f"{count} on the GPU, without some of their tensors"
    return f"{count} on the GPU"


def _device(use: LoggedUse, load: Load, gpus: Sequence[LoggedGpu], page: Page) -> Iterator[Text]:
    """The sizes of one device and the bar below them, as wide as its memory where the log prints it."""
    from rich.text import Text

    room = _room(use, load, gpus)
    sizes = {"weights": use.weights_bytes, "KV": use.kv_bytes, "compute": _with_output(use)}
    line = Text.assemble((f"{_device_name(use)}  ", "bold"))
    for ink in PARTS:
        size = sizes.get(ink.part, 0)
        if isinstance(size, int) and size:
            line.append(f"{glyph(ink, page)} ", style=ink.colour).append(f"{ink.part} {_size(size)}  ")
    of = _of(use, room, free=not use.host and not _total_known(use, gpus))
    line.append(f"= {_size(use.known_bytes)}{of}{' (estimated before the load)' if load.estimated else ''}")
    line.append(_twice(load) if use.host else "", style="dim")
    yield line
    drawn = DeviceUse(use.name, _number(use.weights_bytes), _number(use.kv_bytes), _number(_with_output(use)), 0)
    scale = max(room, use.known_bytes)
    yield bar(drawn, total_bytes=scale, budget_bytes=scale, columns=page.width, page=page)


def _twice(load: Load) -> str:
    """How much of the weights is a copy in a layout for the CPU's kernels: the file they were read from is mapped beside it."""
    seen = load.seen.get("weights.buffer")
    sizes = [
        size.bytes
        for event in (seen.events if seen else ())
        if "REPACK" in str(event.fields.get("device")) and isinstance(size := event.fields.get("size"), Printed)
    ]
    return (
        f"  ({_size(sum(sizes))} of the weights are there twice: in the file and repacked for the CPU)" if sizes else ""
    )


def _of(use: LoggedUse, room: int, *, free: bool) -> str:
    """The device's memory beside what is used of it: the whole, or what was free at the start."""
    if not room:
        return ""
    if use.known_bytes > room:
        return f" ({_size(room)} {'were free' if free else 'are there'}, says the log)"
    return f" of {_size(room)}{' free' if free else ''}"


def _total_known(use: LoggedUse, gpus: Sequence[LoggedGpu]) -> bool:
    return any(isinstance(gpu.total_bytes, int) for gpu in gpus if gpu.device == use.name or len(gpus) == 1)


def _device_name(use: LoggedUse) -> str:
    return "system memory" if use.host else printable(use.name)


def _with_output(use: LoggedUse) -> Bytes:
    """Compute and output buffers together, in bytes: one colour of the bar."""
    compute, output = _number(use.compute_bytes), _number(use.output_bytes)
    return compute + output


def _number(size: Bytes) -> int:
    return size if isinstance(size, int) else 0


def _room(use: LoggedUse, load: Load, gpus: Sequence[LoggedGpu]) -> int:
    """How much memory the device has, in bytes; 0 where the log does not say."""
    if use.host:
        return load.system_total_bytes if isinstance(load.system_total_bytes, int) else 0
    for gpu in gpus:
        if gpu.device == use.name or len(gpus) == 1:
            sizes = (gpu.total_bytes, gpu.available_bytes)
            return next((size for size in sizes if isinstance(size, int)), 0)
    return 0


def _facts(load: Load) -> Iterator[tuple[str, Text]]:
    from rich.text import Text

    settings = list(_settings(load))
    if settings:
        yield "settings", Text(", ".join(settings))
    for label, sequences in _SEQUENCES:
        moments = [moment for moment in load.moments if moment.sequence in sequences]
        if {moment.sequence for moment in moments} == sequences:
            yield label, Text(_timeline(moments, start=_start(load.moments)))
    if load.totals.count:
        yield "requests", Text(_requests(load))
    if load.ended:
        yield (
            "ended",
            Text(printable(load.ended), style="red" if load.outcome == FAILED or "unload" not in load.ended else ""),
        )


def _settings(load: Load) -> Iterator[str]:
    """The settings in people's words; what is not printed is left out."""
    settings = load.settings
    if isinstance(settings.ctx, int):
        slots = settings.parallel
        yield f"context {settings.ctx}" + (
            f" (of {slots} slots together)" if isinstance(slots, int) and slots > 1 else ""
        )
    if isinstance(settings.batch, int):
        yield f"batch {settings.batch}" + (f"/{settings.ubatch}" if isinstance(settings.ubatch, int) else "")
    if isinstance(settings.flash_attn, str):
        came_to = (
            f" ({'on' if settings.flash_attn_used else 'off'})" if isinstance(settings.flash_attn_used, bool) else ""
        )
        yield f"flash attention {settings.flash_attn}{came_to}"
    if isinstance(settings.type_k, str):
        yield f"KV {settings.type_k}" + (
            f"/{settings.type_v}"
            if settings.type_v not in (settings.type_k,) and isinstance(settings.type_v, str)
            else ""
        )
    if isinstance(settings.asked_layers, int):
        yield (
            "layers chosen by the engine" if settings.asked_layers < 0 else f"{settings.asked_layers} layers asked for"
        )
    if isinstance(settings.threads, int):
        yield f"{settings.threads} threads"
    if isinstance(settings.mmap, bool):
        yield "mmap" if settings.mmap else "no mmap"
    if settings.kv_offload is False:
        yield "KV cache kept in system memory"
    if isinstance(settings.overridden_tensors, int):
        yield f"{settings.overridden_tensors} tensors moved by -ot"
    if isinstance(settings.pipeline_copies, int) and settings.pipeline_copies > 1:
        yield f"{settings.pipeline_copies} pipeline copies"


def _start(moments: Sequence[Moment]) -> float | None:
    """The time of the first step that has one: what the seconds of all sequences count from.

    A prefix without a year gives times of another clock; they are left out.
    """
    known = [moment.seconds for moment in moments if isinstance(moment.seconds, float)]
    return min((seconds for seconds in known if seconds > max(known) - _YEARS_SECONDS), default=None)


def _timeline(moments: Sequence[Moment], *, start: float | None) -> str:
    """The steps, each with the seconds since the start of the load where a line prints a later time."""
    steps: list[str] = []
    shown = 0.0
    for moment in moments:
        passed = moment.seconds - start if isinstance(moment.seconds, float) and start is not None else 0.0
        at = f"+{passed:.1f} s " if passed - shown >= _WORTH_A_TIME else ""
        shown = passed if at else shown
        steps.append(f"{at}{printable(moment.what)}")
    if len(steps) > _MOST_STEPS:
        half = _MOST_STEPS // 2
        steps = [*steps[:half], f"{len(steps) - 2 * half} more", *steps[-half:]]
    return " > ".join(steps)


def _requests(load: Load) -> str:
    """How many, how long, how fast."""
    totals = load.totals
    words = [f"{totals.count}{f' ({totals.failed} failed)' if totals.failed else ''}"]
    if totals.latency_seconds and totals.count == 1:
        words.append(f"{totals.longest_seconds:.1f} s")
    elif totals.latency_seconds:
        words.append(
            f"{totals.latency_seconds / totals.count:.1f} s on average, {totals.longest_seconds:.1f} s at most"
        )
    for part, name in (("prompt", "read"), ("generated", "wrote")):
        slowest, fastest = (getattr(totals, f"{part}_{which}_per_second") for which in ("slowest", "fastest"))
        if isinstance(slowest, float) and isinstance(fastest, float):
            words.append(
                f"{name} {slowest:.0f} tokens/s"
                if slowest == fastest
                else f"{name} {slowest:.1f}-{fastest:.1f} tokens/s"
            )
    return ", ".join(words)


def _size(size: Bytes) -> str:
    if isinstance(size, Unknown):
        return "unknown"
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / MIB:.0f} MiB"


def _billions(count: int) -> str:
    return f"{count / 1e9:.1f} B parameters" if count >= 1e9 else f"{count / 1e6:.0f} M parameters"
