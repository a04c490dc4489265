"""A diagnosis as text: the verdict first, then cause, evidence and fix, then the chain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from vramctl.records.diagnosis import CRASHED, FAIL, FINE, OK, PROBLEM, SKIPPED, UNKNOWN, WARN, Checked, Diagnosis
from vramctl.records.finding import Finding
from vramctl.show.page import Page, labelled, paint
from vramctl.show.printable import printable

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

_STYLES = {FINE: "bold green", PROBLEM: "bold red"}
_MARKS = {OK: ("ok", "green"), WARN: ("warn", "yellow"), FAIL: ("FAIL", "bold red"), SKIPPED: ("not checked", "dim"),
          UNKNOWN: ("could not tell", "yellow"), CRASHED: ("check crashed", "red")}  # fmt: skip


def doctor_text(diagnosis: Diagnosis, page: Page, *, verbose: bool = False) -> str:
    """The whole answer on the page."""
    from rich.text import Text

    parts: list[RenderableType] = [
        Text(printable(diagnosis.verdict), style=_STYLES.get(diagnosis.status, "bold yellow"))
    ]
    parts += [Text(), labelled([(name, Text(printable(line))) for name, line in diagnosis.machine.items()])]
    for one in diagnosis.findings:
        parts += [Text(), labelled(list(_finding(one, first=one is diagnosis.root)))]
    if verbose or diagnosis.status != FINE:
        parts += [Text(), labelled(list(_chain(diagnosis.checks, verbose=verbose)), width=14)]
    return paint(*parts, page=page)


def checks_text(rows: Sequence[tuple[str, str, str]], page: Page) -> str:
    """The list of all checks: layer, id, title."""
    from rich.text import Text

    parts: list[RenderableType] = []
    for layer, group in groupby(rows, key=lambda row: row[0]):
        parts.append(Text(layer, style="bold"))
        parts += [Text(f"  {name:36} {title}") for _, name, title in group]
    return paint(*parts, page=page)


def _finding(one: Finding, *, first: bool) -> Iterator[tuple[str, Text]]:
    from rich.text import Text

    if not first:  # the first one's sentence is the verdict above
        style = {"error": "bold red", "warning": "bold yellow"}.get(one.severity, "bold")
        yield {"info": "note"}.get(one.severity, one.severity), Text(printable(one.what), style=style)
    for number, reason in enumerate(one.because):
        yield "because" if number == 0 else "", Text(printable(reason))
    if one.fix:
        yield "fix", Text(printable(one.fix), style="green")
    yield "id", Text(one.id, style="dim")


def _chain(checks: Sequence[Checked], *, verbose: bool) -> Iterator[tuple[str, Text]]:
    """A line per layer, layers of which the same is to be said in one line; or per check where everything was asked for."""
    from rich.text import Text

    layers = [(layer, list(group)) for layer, group in groupby(checks, key=lambda checked: checked.layer)]
    if not verbose:
        told = [(layer, _summary(members)) for layer, members in layers]
        for _, same in groupby(told, key=lambda row: row[1].plain):
            rows = list(same)
            names = [layer for layer, _ in rows]
            yield names[0], rows[0][1] if len(names) == 1 else _joined(names, rows[0][1])
        return
    for layer, members in layers:
        for number, checked in enumerate(members):
            mark, style = _MARKS[checked.state]
            text = Text(f"{mark}  ", style=style)
            text.append(checked.id, style="default")
            if checked.why:
                text.append(f"  {printable(checked.why)}", style="dim")
            yield layer if number == 0 else "", text


def _joined(names: Sequence[str], text: Text) -> Text:
    """What is said of several layers in a row, with the last one's name in front."""
    from rich.text import Text

    joined = Text(f"to {names[-1]}: ", style="dim")
    joined.append_text(text)
    return joined


def _summary(members: Sequence[Checked]) -> Text:
    from rich.text import Text

    text = Text()
    for state in (FAIL, WARN, CRASHED, UNKNOWN, OK, SKIPPED):
        same = [checked for checked in members if checked.state == state]
        if not same:
            continue
        mark, style = _MARKS[state]
        if text:
            text.append(", ")
        named = ", ".join(checked.id for checked in same) if state in {FAIL, WARN, CRASHED} else str(len(same))
        text.append(f"{named} {mark}" if state not in {FAIL, WARN, CRASHED} else f"{mark} {named}", style=style)
    if members and all(checked.state == SKIPPED for checked in members):
        reasons = {checked.why for checked in members}
        if len(reasons) == 1:
            why = printable(reasons.pop()).removeprefix("not checked: ")
            text = Text(f"not checked ({why})", style="dim")
    return text
