"""The table of GPUs: every row reads, figures are plausible, sources are stated, printed figures fit the rules."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vramctl.catalogue import document, entries, find, rules
from vramctl.catalogue.entry import GpuEntry
from vramctl.records import Unknown
from vramctl.units import GIB, MIB

ROOT = Path(__file__).parents[2]
ALL = entries()
BY_NAME = {entry.name: entry for entry in ALL}


def test_there_are_more_than_110_gpus_of_four_vendors() -> None:
    assert len(ALL) >= 110
    assert {entry.vendor for entry in ALL} == {"nvidia", "amd", "intel", "apple"}


def test_names_are_unique_and_no_alias_is_another_gpus_name() -> None:
    names = [entry.name for entry in ALL]
    assert len(set(names)) == len(names)
    aliases = [alias for entry in ALL for alias in entry.aliases]
    assert len(set(aliases)) == len(aliases)
    assert not set(aliases) & set(names)


@pytest.mark.parametrize("entry", ALL, ids=lambda entry: entry.name)
def test_every_name_and_alias_finds_its_own_entry(entry: GpuEntry) -> None:
    for name in (entry.name, *entry.aliases):
        assert find(name) is entry
        assert find(name.lower().replace(" ", "-")) is entry
        assert find(f"  {name.upper().replace('-', ' ')} ") is entry


@pytest.mark.parametrize("entry", ALL, ids=lambda entry: entry.name)
def test_memory_is_plausible_and_ordered(entry: GpuEntry) -> None:
    if isinstance(entry.total_bytes, Unknown):
        assert entry.unified
        assert isinstance(entry.free_bytes, Unknown)
        return
    assert isinstance(entry.nominal_bytes, int)
    assert isinstance(entry.free_bytes, int)
    smallest = 0.66 if entry.unified else 0.85
    assert smallest * entry.nominal_bytes <= entry.total_bytes <= entry.nominal_bytes
    assert 0.9 * entry.total_bytes < entry.free_bytes <= entry.total_bytes
    if isinstance(entry.nvml_total_bytes, int):
        assert entry.total_bytes <= entry.nvml_total_bytes <= entry.nominal_bytes


@pytest.mark.parametrize("entry", ALL, ids=lambda entry: entry.name)
def test_every_figure_has_a_source(entry: GpuEntry) -> None:
    figures = (
        (entry.total_bytes, entry.total_source),
        (entry.free_bytes, entry.free_source),
        (entry.nvml_total_bytes, entry.nvml_source),
        (entry.bandwidth_bytes_per_second, entry.bandwidth_source),
        (entry.compute_capability, entry.compute_source),
    )
    for figure, source in figures:
        assert bool(source) is not isinstance(figure, Unknown), (figure, source)


def test_bandwidth_is_bus_width_times_data_rate() -> None:
    lines = (Path(document.__file__).with_name("gpus.tsv")).read_text(encoding="utf-8").splitlines()
    columns = lines[0].split("\t")
    rows = [dict(zip(columns, line.split("\t"), strict=True)) for line in lines[1:]]
    checked = 0
    for row in rows:
        if row["bus_bits"]:
            computed = float(row["bus_bits"]) * float(row["gbit_per_pin"]) / 8
            assert computed == pytest.approx(float(row["gbyte_per_second"]), rel=0.03), row["name"]
            checked += 1
    assert checked > 150


def test_the_rtx_3060_has_the_11_8_gib_that_engines_print_and_not_12() -> None:
    card = find("RTX 3060")
    assert isinstance(card.total_bytes, int)
    assert round(card.total_bytes / GIB, 1) == 11.8
    assert card.cuda_total_bytes == card.total_bytes
    assert card.nvml_total_bytes == 12288 * MIB
    assert card.reported


def test_a_derived_total_is_never_called_reported_or_a_cuda_print() -> None:
    card = find("RTX 3070")
    assert card.total_source.startswith("derived")
    assert not card.reported
    assert isinstance(card.cuda_total_bytes, Unknown)


# nvidia-smi's reserved line, or its total less CUDA's, with drivers from 570 on; HBM cards keep other amounts.
NEWER_DRIVERS = (
    "GTX 1650", "GTX 1660 Ti", "RTX 2060 12GB", "RTX 2080 SUPER", "RTX 3080", "RTX 3090", "RTX 4070", "RTX 4080 SUPER",
    "RTX 4060 Laptop GPU", "RTX 5060 Ti 16GB", "RTX 5070 Ti", "RTX 5090",
)  # fmt: skip


@pytest.mark.parametrize("name", [f"NVIDIA GeForce {name}" for name in NEWER_DRIVERS])
def test_the_reserve_rule_is_within_60_mib_of_printed_totals(name: str) -> None:
    card = BY_NAME[name]
    assert isinstance(card.nvml_total_bytes, int)
    assert isinstance(card.total_bytes, int)
    assert isinstance(card.nominal_bytes, int)
    assert isinstance(card.compute_capability, str)
    assert card.reported
    printed = (card.nvml_total_bytes - card.total_bytes) / MIB
    derived, _ = rules.reserve_mib(float(card.compute_capability), card.nominal_bytes / GIB)
    assert abs(printed - derived) <= 60


@pytest.mark.parametrize(
    ("rule", "gib", "bits", "printed"),
    [
        ("plain", 12, 192, 12288), ("plain", 80, 5120, 81920),
        ("ada", 8, 128, 8188), ("ada", 16, 128, 16380), ("ada", 16, 256, 16376),
        ("ada", 24, 384, 24564), ("ada", 20, 160, 20475),
        ("blackwell", 8, 128, 8151), ("blackwell", 12, 192, 12227), ("blackwell", 16, 256, 16303),
        ("blackwell", 24, 256, 24463), ("blackwell", 32, 512, 32607), ("blackwell", 96, 512, 97887),
        ("ecc", 24, 192, 23034), ("ecc", 24, 384, 23028), ("ecc", 48, 384, 46068),
    ],
)  # fmt: skip
def test_the_rules_for_nvidia_smi_give_what_was_printed(rule: str, gib: float, bits: int, printed: int) -> None:
    derived = rules.nvml_total_mib(rule, gib, bits)
    assert derived is not None
    assert derived[0] == printed


@pytest.mark.parametrize(
    ("rule", "gib", "printed"),
    [("amd", 8, 8176), ("amd", 12, 12272), ("amd", 24, 24560), ("amd", 64, 65520),
     ("rdna4", 16, 16304), ("rdna4", 32, 32624)],
)  # fmt: skip
def test_the_rules_for_rocm_give_what_was_printed(rule: str, gib: float, printed: int) -> None:
    derived = rules.amd_total_mib(rule, gib)
    assert derived is not None
    assert derived[0] == printed


@pytest.mark.parametrize(("gib", "printed"), [(16, 10922), (128, 98304)])
def test_metal_recommends_two_thirds_of_small_and_three_quarters_of_large_memories(gib: float, printed: int) -> None:
    assert rules.metal_working_set_mib(gib)[0] == printed


def test_importing_the_catalogue_reads_no_table_and_reading_it_takes_milliseconds() -> None:
    code = (
        "import time, vramctl.catalogue as c\n"
        "from vramctl.catalogue.table import entries\n"
        "assert entries.cache_info().currsize == 0\n"
        "best = 9.0\n"
        "for _ in range(5):\n"
        "    entries.cache_clear(); start = time.perf_counter(); entries()\n"
        "    best = min(best, time.perf_counter() - start)\n"
        "print(best)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert float(out.stdout) < 0.005


def test_the_page_of_gpus_is_current() -> None:
    page = (ROOT / "docs" / "gpus.md").read_text(encoding="utf-8")
    assert page == document.render(), "run: python -m vramctl.catalogue.document > docs/gpus.md"
