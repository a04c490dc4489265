"""Driver, CUDA and PTX tables, and which programs run on which GPU."""

from __future__ import annotations

import pytest

from vramctl.checks.cuda_versions import (
    architectures,
    code_for,
    cuda_of_driver,
    cuda_of_ptx,
    driver_of_toolkit,
    driver_text,
    minimum_driver,
)
from vramctl.records.facts import Fatbin, Version


def cubin(major: int, minor: int, variant: str = "") -> Fatbin:
    """Compiled code for one architecture."""
    return Fatbin(kind="cubin", arch=(major, minor), variant=variant)


def ptx(major: int, minor: int, variant: str = "", isa: Version = (8, 8)) -> Fatbin:
    """PTX of one architecture."""
    return Fatbin(kind="ptx", arch=(major, minor), isa=isa, variant=variant)


@pytest.mark.parametrize(
    ("programs", "gpu", "best"),
    [
        ([cubin(8, 6)], (8, 6), "compiled"),
        ([cubin(8, 6)], (8, 9), "compiled"),
        ([cubin(8, 9)], (8, 6), "none"),
        ([cubin(8, 6)], (9, 0), "none"),
        ([ptx(7, 5)], (9, 0), "ptx"),
        ([ptx(9, 0)], (8, 9), "none"),
        ([cubin(8, 6), ptx(9, 0)], (12, 0), "ptx"),
        ([cubin(9, 0, "a")], (9, 0), "compiled"),
        ([cubin(12, 0, "a")], (12, 1), "none"),
        ([cubin(12, 0, "f")], (12, 1), "compiled"),
        ([cubin(10, 0, "f")], (10, 3), "compiled"),
        ([cubin(10, 0, "f")], (12, 0), "none"),
        ([ptx(9, 0, "a")], (10, 0), "none"),
        ([ptx(12, 0, "f")], (12, 1), "ptx"),
        ([ptx(10, 0, "f")], (12, 0), "none"),
        ([cubin(8, 6)], (8, 7), "none"),  # Tegra: binary compatibility holds on the desktop only
        ([cubin(8, 7)], (8, 7), "compiled"),
        ([cubin(8, 7)], (8, 9), "none"),
        ([], (8, 9), "none"),
    ],
)
def test_which_code_a_gpu_runs(programs: list[Fatbin], gpu: Version, best: str) -> None:
    assert code_for(programs, gpu).best == best


def test_the_nearest_ptx_decides_which_driver_it_needs() -> None:
    code = code_for([ptx(5, 0, isa=(8, 0)), ptx(8, 0, isa=(8, 8)), ptx(9, 0, isa=(8, 8))], (8, 9))
    assert code.program is not None
    assert (code.program.arch, code.ptx_isa) == ((8, 0), (8, 8))


@pytest.mark.parametrize(
    ("isa", "cuda"),
    [((7, 8), (11, 8)), ((8, 5), (12, 5)), ((8, 6), (12, 7)), ((8, 7), (12, 8)), ((8, 8), (12, 9)), ((9, 0), (13, 0)),
     ((9, 2), (13, 2)), ((10, 0), None)],
)  # fmt: skip
def test_cuda_that_reads_a_ptx_version(isa: Version, cuda: Version | None) -> None:
    assert cuda_of_ptx(isa) == cuda


@pytest.mark.parametrize(
    ("driver", "system", "cuda"),
    [((576, 52), "windows", (12, 9)), ((581, 15), "windows", (13, 0)), ((591, 44), "windows", (13, 1)),
     ((575, 57, 8), "linux", (12, 9)), ((580, 65, 6), "linux", (13, 0)), ((535, 54, 3), "linux", (12, 2)),
     ((390, 1), "linux", None)],
)  # fmt: skip
def test_cuda_that_a_driver_runs(driver: Version, system: str, cuda: Version | None) -> None:
    assert cuda_of_driver(driver, system) == cuda


def test_the_lowest_driver_of_a_cuda_major_version() -> None:
    assert minimum_driver(12, "linux") == (525, 60, 13)
    assert minimum_driver(12, "windows") == (528, 33)
    assert minimum_driver(13, "windows") == (580,)
    assert minimum_driver(14, "linux") is None
    assert driver_of_toolkit((12, 9), "windows") == (576, 2)


def test_drivers_are_written_as_their_vendor_does() -> None:
    assert driver_text((580, 65, 6), "linux") == "580.65.06"
    assert driver_text((576, 2), "windows") == "576.02"
    assert driver_text((580,), "windows") == "580"


def test_architectures_in_words() -> None:
    assert architectures([cubin(8, 9), cubin(9, 0, "a"), ptx(7, 5)]) == "8.9, 9.0a compiled; 7.5 as PTX"
    assert architectures([]) == "none"
