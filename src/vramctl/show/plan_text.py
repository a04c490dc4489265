"""A plan as text: the verdict, a bar and the numbers per device, then settings, witness and advice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from vramctl.records import Advice, Plan, Unknown, Witness
from vramctl.records.placement import Bytes
from vramctl.show.page import LABEL_WIDTH, Page, labelled, paint
from vramctl.show.plan_bar import FREE, PARTS, bar, budget_mark, glyph
from vramctl.show.printable import printable
from vramctl.show.settings_text import flowed, options_by_origin
from vramctl.show.verdict import short_name, verdict
from vramctl.units import GIB, format_bytes, format_mib

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

# Below this width the table does not say what is free: the bar does.
_FREE_FROM_WIDTH = 74
WITNESSES = {"dry-run": "dry run of {}", "fit-params": "llama-fit-params of {}", "formula": "formula ({})"}


def plan_text(plan: Plan, page: Page) -> str:
    """The whole plan on the page."""
    from rich.text import Text

    parts: list[Text | Table] = [verdict(plan), Text()]
    if plan.devices:
        for index in range(len(plan.devices)):
            parts += [*_device(plan, index, page)]
        parts += [Text(), _numbers(plan, page)]
        parts += [Text(line, style="yellow") for line in _unknown_parts(plan)]
        parts.append(Text())
    return paint(*parts, labelled([*_facts(plan, page), *advice_rows(plan.advice)]), page=page)


def _device(plan: Plan, index: int, page: Page) -> Iterator[Text]:
    """A heading and the bar below it."""
    from rich.text import Text

    device, use, budget = plan.devices[index], plan.placement.devices[index], plan.budgets[index]
    over = isinstance(use.used_bytes, int) and use.used_bytes > budget
    left = Text.assemble((f"{device.name}  ", "bold"), short_name(device))
    of = f"{_gib(use.used_bytes)} of {budget / GIB:.2f} GiB"
    right = Text(f"{of}, {_gib(device.total_bytes)} in all", style="bold red" if over else "")
    room = page.width - right.cell_len - 2
    left.truncate(room, overflow="ellipsis" if page.unicode else "crop")
    left.pad_right(page.width - left.cell_len - right.cell_len)
    yield left.append_text(right)
    yield bar(use, total_bytes=device.total_bytes, budget_bytes=budget, columns=page.width, page=page)
    if over and isinstance(use.used_bytes, int):
        scale = max(use.used_bytes, device.total_bytes)
        yield budget_mark(scale, budget_bytes=budget, columns=page.width, page=page)


def _numbers(plan: Plan, page: Page) -> Table:
    """A row per device in MiB; the column heads are the bar's legend."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 1, 0, 0), show_edge=False, expand=True, pad_edge=False)
    table.add_column(Text("MiB", style="dim"))
    for ink in PARTS:
        head = Text.assemble((glyph(ink, page), ink.colour), f" {ink.part}")
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column(Text("used"), justify="right", no_wrap=True)
    wide = page.width >= _FREE_FROM_WIDTH
    if wide:
        table.add_column(Text.assemble((glyph(FREE, page), FREE.colour), " free"), justify="right", no_wrap=True)
    for use, budget in zip(plan.placement.devices, plan.budgets, strict=True):
        sizes = (use.weights_bytes, use.kv_bytes, use.compute_bytes, use.overhead_bytes)
        cells = [Text(use.name, style="bold"), *(Text(_mib(size)) for size in sizes)]
        cells.append(Text(_mib(use.used_bytes), style="bold"))
        if wide:
            cells.append(_free(use.used_bytes, budget))
        table.add_row(*cells)
    return table


def _free(used: Bytes, budget: int) -> Text:
    from rich.text import Text

    if isinstance(used, Unknown):
        return Text("unknown")
    return Text(format_mib(budget - used), style="red" if used > budget else "")


def _unknown_parts(plan: Plan) -> Iterator[str]:
    """Why a number is missing, once for each reason."""
    reasons: dict[str, list[str]] = {}
    for use in plan.placement.devices:
        for ink, size in zip(
            PARTS, (use.weights_bytes, use.kv_bytes, use.compute_bytes, use.overhead_bytes), strict=True
        ):
            if isinstance(size, Unknown):
                reasons.setdefault(size.reason, []).append(f"{ink.part} of {use.name}")
    for reason, parts in reasons.items():
        yield printable(f"{', '.join(parts)}: unknown, {reason}.")


def _facts(plan: Plan, page: Page) -> Iterator[tuple[str, Text]]:
    """The lines below the numbers: system memory, context, settings by where they came from, witness."""
    from rich.text import Text

    yield "host", Text(_host(plan))
    if plan.devices:
        yield "context", Text(_context(plan))
        if plan.placement.kv_operations in ("cpu", "mixed"):
            where = "on the CPU" if plan.placement.kv_operations == "cpu" else "on the CPU for some layers"
            yield "attention", Text(f"over the KV cache runs {where}", style="yellow")
    origins = options_by_origin(plan.settings, plan.origins)
    for label, origin, style in (
        ("asked", "asked", ""),
        ("chosen", "chosen", "bold"),
        ("default", "engine default", "dim"),
    ):
        options = origins[origin]  # type: ignore[index]
        if options:
            yield label, Text(flowed(options, page.width - LABEL_WIDTH - 1), style=style)
    yield "witness", witness_line(plan.witness)
    if plan.overhead_source:
        yield "overhead", Text(printable(plan.overhead_source))


def _host(plan: Plan) -> str:
    host, there = plan.placement.host, plan.host.available_bytes
    names = ("weights", "KV", "compute", "output")
    sizes = (host.weights_bytes, host.kv_bytes, host.compute_bytes, host.output_bytes)
    told = [
        f"{name} {'unknown (' + printable(size.reason) + ')' if isinstance(size, Unknown) else format_mib(size)}"
        for name, size in zip(names, sizes, strict=True)
        if size != 0
    ]
    room = "" if isinstance(there, Unknown) else f" of {format_bytes(there)}"
    return f"{' + '.join(told) or 'nothing'} = {_mib(host.used_bytes)} MiB{room}"


def _context(plan: Plan) -> str:
    """How far the context can grow, or how many tokens each sequence has."""
    if isinstance(plan.max_ctx, Unknown):
        return f"the largest is unknown: {printable(plan.max_ctx.reason)}"
    layers = "all layers and experts" if plan.settings.n_cpu_moe else "all layers"
    if plan.max_ctx <= 0:
        return f"no context keeps {layers} on the GPU"
    trained = plan.model.train_ctx
    limit = ""
    if isinstance(trained, int) and 0 < trained <= plan.max_ctx:
        limit = " (all it was trained for)" if trained == plan.max_ctx else f" (it was trained for {trained})"
    return f"up to {plan.max_ctx} tokens{limit} with all layers on the GPU"


def witness_line(witness: Witness) -> Text:
    """Who says the numbers, whether they are exact, and why or why not."""
    from rich.text import Text

    text = Text(WITNESSES.get(witness.kind, "{}").format(printable(witness.engine)) + ": ")
    text.append("exact" if witness.exact else "not exact", style="green" if witness.exact else "yellow")
    reasons = "; ".join(printable(reason).rstrip(".") for reason in witness.because)
    return text.append(f" ({reasons})" if reasons else "")


def advice_rows(advice: Sequence[Advice]) -> Iterator[tuple[str, Text]]:
    """Each piece of advice: what it would buy, because, and how, as rows with labels."""
    from rich.text import Text

    for number, piece in enumerate(advice, start=1):
        yield "", Text()
        yield f"advice {number}" if len(advice) > 1 else "advice", Text(printable(piece.what), style="bold")
        for index, reason in enumerate(piece.because):
            yield "" if index else "because", Text(printable(reason))
        yield "fix", Text(printable(piece.fix), style="cyan")


def _mib(size: Bytes) -> str:
    return "unknown" if isinstance(size, Unknown) else format_mib(size)


def _gib(size: Bytes) -> str:
    return "unknown" if isinstance(size, Unknown) else f"{size / GIB:.2f}"
