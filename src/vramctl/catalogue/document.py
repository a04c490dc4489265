"""The catalogue as a page: docs/gpus.md is this text."""

from __future__ import annotations

from collections import Counter

from vramctl.catalogue.entry import GpuEntry
from vramctl.catalogue.table import entries
from vramctl.records import Unknown
from vramctl.units import GIB, MIB

_VENDORS = {"nvidia": "NVIDIA", "amd": "AMD", "intel": "Intel", "apple": "Apple"}
_HEAD = """# GPUs that `--gpu` knows

Generated from `src/vramctl/catalogue/gpus.tsv` (`python -m vramctl.catalogue.document` prints it). All sizes are MiB.

*Total* is the memory as an engine sees it (CUDA, ROCm, SYCL, Metal) on Linux, *smi* what nvidia-smi prints as
memory.total, *free* what an idle machine without a screen leaves to a new process; a desktop takes some of that.
Figures with `~` come from a rule fitted to cards whose figures were printed, all others from a log, a recording or a
vendor's page; the sources follow the tables. NVIDIA drivers before 570 keep less (an RTX 3090 has 24258 MiB free with
525.147.05), and on Windows CUDA calls nearly all of nvidia-smi's figure the total. Bandwidth is the data sheet's.

On the machine itself `vramctl` asks the driver; this table is for cards that are not there. What the driver prints for
your card is welcome as a bug report: two lines of `nvidia-smi -q -d MEMORY` are enough.
"""


def render() -> str:
    """The whole page as Markdown."""
    parts = [_HEAD, _shared_names(), _short_names()]
    for vendor, title in _VENDORS.items():
        rows = [entry for entry in entries() if entry.vendor == vendor]
        parts.append(f"## {title} ({len(rows)})\n\n{_table(rows)}")
    parts.append(f"## Sources\n\n{_sources()}")
    return "\n".join(parts)


def _shared_names() -> str:
    """Names that drivers print for several cards, and which one the plain name means here."""
    counts = Counter(entry.driver_name for entry in entries() if entry.vendor != "apple")
    lines = [
        "## Names that two cards share\n",
        "| the driver's name | cards | the plain name means |",
        "| --- | --- | --- |",
    ]
    for driver_name, count in counts.items():
        if count < 2:
            continue
        cards = [entry for entry in entries() if entry.driver_name == driver_name]
        plain = [entry.name for entry in cards if driver_name in (entry.name, *entry.aliases)]
        meant = f"the {_gib(next(c for c in cards if c.name == plain[0]))} GB card" if plain else "say which"
        lines.append(f"| {driver_name} | {', '.join(card.name for card in cards)} | {meant} |")
    return "\n".join(lines) + "\n"


def _short_names() -> str:
    """Aliases: names that no driver prints, and the card that each means."""
    lines = ["## Short names\n", "| written | means |", "| --- | --- |"]
    lines += [f"| {alias} | {entry.name} |" for entry in entries() for alias in entry.aliases]
    return "\n".join(lines) + "\n"


def _table(rows: list[GpuEntry]) -> str:
    lines = ["| name | GB | total | smi | free | GB/s | compute |", "| --- | --: | --: | --: | --: | --: | --- |"]
    for entry in rows:
        cells = (
            entry.name,
            _gib(entry),
            _mib(entry.total_bytes, entry.total_source),
            _mib(entry.nvml_total_bytes, entry.nvml_source),
            _mib(entry.free_bytes, entry.free_source),
            _rate(entry),
            entry.compute_capability if isinstance(entry.compute_capability, str) else "–",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _gib(entry: GpuEntry) -> str:
    return "–" if isinstance(entry.nominal_bytes, Unknown) else f"{entry.nominal_bytes / GIB:g}"


def _rate(entry: GpuEntry) -> str:
    rate = entry.bandwidth_bytes_per_second
    return "–" if isinstance(rate, Unknown) else f"{rate / 1e9:g}"


def _mib(size: int | Unknown, source: str) -> str:
    if isinstance(size, Unknown):
        return "–"
    return f"{'~' if source.startswith('derived') else ''}{size // MIB}"


def _sources() -> str:
    lines = []
    for entry in entries():
        printed = [
            f"{label} {source}"
            for label, source in (
                ("total:", entry.total_source),
                ("smi:", entry.nvml_source),
                ("free:", entry.free_source),
            )
            if source and not source.startswith("derived")
        ]
        if printed:
            lines.append(f"- **{entry.name}** {'; '.join(printed)}")
    rules = {source for e in entries() for source in (e.total_source, e.nvml_source, e.free_source)}
    lines += [f"- ~ {source}" for source in sorted(rules) if source.startswith("derived")]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    import sys

    sys.stdout.write(render())
