"""A log as one screen: verdict, findings with their lines, then every load with bars, settings and timeline."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from vramctl.records import Unknown
from vramctl.records.finding import ERROR, INFO, Finding
from vramctl.records.load import FAILED, Load, Log, LoggedGpu
from vramctl.show.explain_load import load_parts, load_row
from vramctl.show.explain_verdict import COULD_NOT_TELL, HEALTHY, PROBLEM, is_server, verdict
from vramctl.show.page import Page, labelled, paint
from vramctl.show.printable import printable
from vramctl.units import GIB

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

# So that the usual log is one screen: the loads that matter in full, the others a line each.
_FULL_LOADS, _LISTED_LOADS, _QUOTES, _MOST_GPUS = 1, 6, 3, 3
_JOURNAL = re.compile(r"^(?:[^\W_]\S{1,10} +\d+ [\d:]{8}|\d{4}-\S+) (?:[\w.-]+ [^\s:]+|[^\s:]+\[\d+\]): ")
_STYLES = {HEALTHY: "bold green", PROBLEM: "bold red", COULD_NOT_TELL: "bold yellow"}


def explain_text(log: Log, findings: Sequence[Finding], page: Page) -> str:
    """The whole answer on the page."""
    from rich.text import Text

    answer = verdict(log, findings)
    parts: list[RenderableType] = [Text(answer.words, style=_STYLES.get(answer.state, "bold yellow")), Text()]
    parts.append(labelled(list(_facts(log))))
    for number, one in enumerate(findings, start=1):
        parts += [Text(), labelled(list(_finding(one, number, page)))]
    parts += list(_loads(log, findings, page))
    parts += list(_unrecognised(log))
    return paint(*parts, page=page)


def _facts(log: Log) -> Iterator[tuple[str, Text]]:
    """Where the lines came from and which GPUs they name."""
    from rich.text import Text

    source = log.source
    engine = source.engine if isinstance(source.engine, str) else "unknown engine"
    version, unprinted = (
        (f" {source.version}", "") if isinstance(source.version, str) else ("", ", version not printed")
    )
    system = ""
    if isinstance(source.system, str):
        system = " in a container" if source.system == "container" else f" on {source.system}"
    inside = " in llama-cpp-python" if any(kind.startswith("llama_python.") for kind in log.event_counts) else ""
    yield "log", Text(printable(f"{engine}{version}{inside}{system}{unprinted}, {source.lines} lines"))
    if log.gpus:
        yield ("GPUs" if len(log.gpus) > 1 else "GPU"), Text("; ".join(_gpus(log.gpus)))
    if log.totals.count:
        yield ("requests" if is_server(log) else "runs"), Text(_requests(log))


def _gpus(gpus: Sequence[LoggedGpu]) -> list[str]:
    """The GPUs in words, equal ones counted."""
    told: dict[str, int] = {}
    for gpu in gpus:
        told[_gpu(gpu)] = told.get(_gpu(gpu), 0) + 1
    words = [f"{count}x {text}" if count > 1 else text for text, count in told.items()]
    left = len(words) - _MOST_GPUS
    return words if left <= 0 else [*words[:_MOST_GPUS], f"and {left} more"]


def _gpu(gpu: LoggedGpu) -> str:
    name = printable(gpu.name) if isinstance(gpu.name, str) else "name not printed"
    parts = [name]
    if isinstance(gpu.total_bytes, int):
        free = f", {gpu.available_bytes / GIB:.1f} free at the start" if isinstance(gpu.available_bytes, int) else ""
        parts.append(f"{gpu.total_bytes / GIB:.1f} GiB{free}")
    elif isinstance(gpu.available_bytes, int):
        parts.append(f"{gpu.available_bytes / GIB:.1f} GiB free")
    if isinstance(gpu.compute_capability, str) and gpu.compute_capability not in {"0.0", ""}:
        parts.append(
            gpu.compute_capability if gpu.compute_capability.startswith("gfx") else f"compute {gpu.compute_capability}"
        )
    return ", ".join(parts)


def _requests(log: Log) -> str:
    totals = log.totals
    failed = f", {totals.failed} failed" if totals.failed else ""
    longest = f", the longest {totals.longest_seconds:.1f} s" if totals.longest_seconds else ""
    mean = (
        f", {totals.latency_seconds / totals.count:.1f} s on average"
        if totals.count > 1 and totals.latency_seconds
        else ""
    )
    return f"{totals.count}{failed}{mean}{longest}"


def _finding(one: Finding, number: int, page: Page) -> Iterator[tuple[str, Text]]:
    """A finding: what, because, its lines word for word, and what to do."""
    from rich.text import Text

    style = {ERROR: "bold red", INFO: ""}.get(one.severity, "bold yellow")
    label = "note" if one.severity == INFO else "cause" if number == 1 else "follows" if one.under else "also"
    head = Text(printable(one.what) if number > 1 or one.severity == INFO else printable(one.title), style=style)
    head.append(f"  [{one.id}]", style="dim")
    yield label, head
    for index, reason in enumerate(one.because):
        yield "" if index else "because", Text(printable(reason))
    width = max(page.width - 20, 40)
    for index, quote in enumerate(one.lines[:_QUOTES]):
        text = _message(printable(quote.text))
        shown = text if len(text) <= width else text[: width - 1] + ("…" if page.unicode else ">")
        yield "" if index else "lines", Text(f"{quote.line:>6}  {shown}", style="dim", no_wrap=True)
    yield "fix", Text(printable(one.fix), style="cyan")


def _message(line: str) -> str:
    """What a quoted line says, without the prefixes of its platform and of slog: the screen is narrow."""
    start = line.find(" msg=")
    if start >= 0:
        return line[start + 1 :]
    prefix = _JOURNAL.match(line)
    return line[prefix.end() :] if prefix else line


def _loads(log: Log, findings: Sequence[Finding], page: Page) -> Iterator[RenderableType]:
    """The loads that matter in full; where there are more, every load as a line."""
    from rich.text import Text

    if not log.loads:
        return
    for load in _chosen(log.loads, findings):
        yield Text()
        yield from load_parts(load, page, gpus=log.gpus)
    if len(log.loads) > 1:
        yield Text()
        shown = log.loads[:_LISTED_LOADS]
        yield labelled([("all loads" if not index else "", load_row(load)) for index, load in enumerate(shown)])
        left = len(log.loads) - len(shown) + log.dropped_loads
        if left:
            yield labelled([("", Text(f"and {left} more (--json lists them)", style="dim"))])


def _chosen(loads: Sequence[Load], findings: Sequence[Finding]) -> list[Load]:
    """The loads to show in full: the one that the first finding quotes, failed ones, else the last."""
    if len(loads) <= 1:
        return list(loads)
    quoted = {quote.line for one in findings[:1] for quote in one.lines}
    wanted = [load for load in loads if any(load.lines[0] <= line <= load.lines[1] for line in quoted)]
    wanted += [load for load in loads if load.outcome == FAILED and load not in wanted]
    return (wanted or [loads[-1]])[:_FULL_LOADS]


def _unrecognised(log: Log) -> Iterator[RenderableType]:
    """How many of the engine's lines no rule knows, with the first few."""
    from rich.text import Text

    count = log.unrecognised_lines
    if not count:
        return
    yield Text()
    rows = [
        (
            "unknown",
            Text(
                f"{count} line{'s' if count > 1 else ''} of the engine that no rule knows (--json lists samples)",
                style="dim",
            ),
        )
    ]
    for line, text in log.unrecognised_samples[:2]:
        rows.append(("", Text(f"{line:>6}  {printable(text)[:90]}", style="dim", no_wrap=True)))
    yield labelled(rows)


def known_text(value: object) -> str:
    """A value, or the word unknown with its reason."""
    return f"unknown ({value.reason})" if isinstance(value, Unknown) else printable(str(value))
