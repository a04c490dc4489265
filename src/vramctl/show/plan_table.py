"""Several plans of one question as a table: a row per context, per GPU, or both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vramctl.records import Plan, Unknown
from vramctl.records.placement import Bytes, total
from vramctl.show.page import Page, labelled, paint
from vramctl.show.plan_text import witness_line
from vramctl.show.printable import printable
from vramctl.show.verdict import devices_title, model_title, used_on_devices
from vramctl.units import GIB, MIB

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

# From this width on there is room for what a row could still grow to.
_MAX_CTX_FROM_WIDTH = 96
# Below this width sizes are whole MiB.
_DIGITS_FROM_WIDTH = 76


def table_text(plans: Sequence[Plan], page: Page) -> str:
    """The model, the table in MiB, and below it who says the numbers."""
    from rich.text import Text

    heads = [Text(model_title(plans[0]), style="bold").append_text(Text(_common(plans), style="not bold"))]
    return paint(*heads, Text(), _table(plans, page), Text(), labelled([*_below(plans)]), page=page)


def _common(plans: Sequence[Plan]) -> str:
    """What all rows share and the columns do not say."""
    facts = []
    if len({devices_title(plan.devices) for plan in plans}) == 1:
        facts.append(f" on {devices_title(plans[0].devices) or 'the CPU'}")
    contexts = {plan.settings.n_ctx for plan in plans}
    if len(contexts) == 1 and plans[0].settings.n_ctx is not None:
        facts.append(f", {plans[0].settings.n_ctx} tokens of context")
    return "".join(facts) + "; sizes in MiB"


def _table(plans: Sequence[Plan], page: Page) -> Table:
    from rich.table import Table
    from rich.text import Text

    by_gpu = len({devices_title(plan.devices) for plan in plans}) > 1
    by_ctx = len({plan.settings.n_ctx for plan in plans}) > 1 or not by_gpu
    table = Table(box=None, padding=(0, 1, 0, 0), show_edge=False, expand=True, pad_edge=False, header_style="dim")
    if by_gpu:
        table.add_column("GPU", overflow="fold", ratio=1)
    heads = ["ctx"] if by_ctx else []
    heads += ["layers", "weights", "KV", "compute", "overhead", "used GiB"]
    heads += ["max ctx"] if page.width >= _MAX_CTX_FROM_WIDTH else []
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("fits")
    for plan in plans:
        cells = [Text(devices_title(plan.devices) or "CPU")] if by_gpu else []
        cells += [Text(str(plan.settings.n_ctx or "?"), style="bold")] if by_ctx else []
        cells += [Text(cell) for cell in _sizes(plan, digits=2 if page.width >= _DIGITS_FROM_WIDTH else 0)]
        cells += [Text(_max_ctx(plan))] if page.width >= _MAX_CTX_FROM_WIDTH else []
        cells.append(_fits(plan))
        table.add_row(*cells)
    return table


def _sizes(plan: Plan, *, digits: int) -> tuple[str, ...]:
    """Layers, the parts of all devices together in MiB, and used of the budget in GiB; the host's without devices."""
    on_gpu = "?" if isinstance(plan.layers_on_gpu, Unknown) else str(plan.layers_on_gpu)
    layers = f"{on_gpu}/{plan.layers_total}"
    if not plan.devices:
        host = plan.placement.host
        parts: list[Bytes] = [host.weights_bytes, host.kv_bytes, host.compute_bytes, host.output_bytes]
        return layers, *(_mib(part, digits) for part in parts), _of(host.used_bytes, plan.host.available_bytes)
    uses = plan.placement.devices
    parts = [
        total(*(getattr(use, f"{part}_bytes") for use in uses)) for part in ("weights", "kv", "compute", "overhead")
    ]
    return layers, *(_mib(part, digits) for part in parts), _of(used_on_devices(plan), sum(plan.budgets))


def _of(used: Bytes, there: Bytes) -> str:
    return "/".join("?" if isinstance(size, Unknown) else f"{size / GIB:.1f}" for size in (used, there))


def _max_ctx(plan: Plan) -> str:
    return "?" if isinstance(plan.max_ctx, Unknown) else str(plan.max_ctx)


def _fits(plan: Plan) -> Text:
    from rich.text import Text

    if not plan.fits:
        return Text("no", style="bold red")
    partly = (
        bool(plan.devices) and not isinstance(plan.layers_on_gpu, Unknown) and plan.layers_on_gpu < plan.layers_total
    )
    return Text("part", style="yellow") if partly else Text("yes", style="bold green")


def _below(plans: Sequence[Plan]) -> list[tuple[str, Text]]:
    """Each witness once, then why numbers are missing."""
    from rich.text import Text

    rows = [("witness", witness_line(witness)) for witness in dict.fromkeys(plan.witness for plan in plans)]
    uses = [use for plan in plans for use in plan.placement.devices]
    parts = [part for use in uses for part in (use.weights_bytes, use.kv_bytes, use.compute_bytes, use.overhead_bytes)]
    reasons = dict.fromkeys(part.reason for part in parts if isinstance(part, Unknown))
    rows += [("unknown", Text(printable(reason))) for reason in reasons]
    return rows


def _mib(size: Bytes, digits: int) -> str:
    return "?" if isinstance(size, Unknown) else f"{size / MIB:.{digits}f}"
