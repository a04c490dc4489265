"""Every form of --gpu, and the sizes that no GPU has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vramctl.catalogue import find, parse_devices
from vramctl.errors import BadInput
from vramctl.records import Unknown
from vramctl.units import GIB, TIB


def test_a_name_gives_the_cards_usual_bytes_with_their_source() -> None:
    (device,) = parse_devices(["RTX 3060"])
    card = find("RTX 3060")
    assert (device.name, device.description, device.backend) == ("CUDA0", "NVIDIA GeForce RTX 3060", "cuda")
    assert (device.total_bytes, device.free_bytes) == (card.total_bytes, card.free_bytes)
    assert device.source == f"catalogue: {card.total_source}"
    assert device.compute_capability == "8.6"
    assert device.bandwidth_bytes_per_second == 360_000_000_000
    assert isinstance(device.uuid, Unknown)


def test_a_size_gives_a_nameless_cuda_gpu_of_that_size() -> None:
    (device,) = parse_devices(["12GiB"])
    assert (device.name, device.description, device.backend) == ("CUDA0", "12 GiB GPU", "cuda")
    assert device.total_bytes == device.free_bytes == 12 * GIB
    assert device.source == "asked"
    assert isinstance(device.compute_capability, Unknown)


def test_a_name_with_free_bytes_keeps_the_cards_total() -> None:
    (device,) = parse_devices(["RTX 3060=9.5GiB"])
    assert device.free_bytes == int(9.5 * GIB)
    assert device.total_bytes == find("RTX 3060").total_bytes
    assert "asked" in device.source


def test_free_bytes_above_this_drivers_total_raise_it_up_to_what_is_on_the_card() -> None:
    (device,) = parse_devices(["RTX 3060=11.9GiB"])
    assert device.total_bytes == device.free_bytes == round(11.9 * GIB)


def test_none_alone_is_no_device_and_never_stands_with_others() -> None:
    assert parse_devices(["none"]) == ()
    assert parse_devices([]) == ()
    with pytest.raises(BadInput) as refused:
        parse_devices(["none", "12GiB"])
    assert refused.value.code == "contradictory-devices"


@pytest.mark.parametrize("written", ["2x RTX 3090", "RTX 3090*2", "2 × 3090", "2xRTX3090"])
def test_a_count_repeats_the_device(written: str) -> None:
    first, second = parse_devices([written])
    assert (first.name, second.name) == ("CUDA0", "CUDA1")
    assert first.description == second.description == "NVIDIA GeForce RTX 3090"


def test_devices_are_numbered_per_backend() -> None:
    devices = parse_devices(["RTX 3090", "RX 7900 XTX", "24GiB", "Arc B580", "RX 7900 XTX", "M4 Pro 48GB"])
    assert [device.name for device in devices] == ["CUDA0", "ROCm0", "CUDA1", "SYCL0", "ROCm1", "MTL0"]
    assert [device.backend for device in devices] == ["cuda", "rocm", "cuda", "sycl", "rocm", "metal"]


def test_a_gpu_on_system_memory_needs_its_free_bytes() -> None:
    with pytest.raises(BadInput) as refused:
        parse_devices(["Radeon 780M"])
    assert refused.value.code == "memory-not-known"
    (device,) = parse_devices(["780M=16GiB"])
    assert device.total_bytes == device.free_bytes == 16 * GIB


def test_780m_is_a_radeon_and_800m_a_size() -> None:
    assert parse_devices(["800M"])[0].total_bytes == 800 << 20
    with pytest.raises(BadInput, match="780M"):
        parse_devices(["780M"])


@pytest.mark.parametrize(
    "written",
    ["0", "0GiB", "1MiB", "5TiB", "9999999999999999GiB", "12", "RTX 3060=13GiB", "RTX 3060=0", "RTX 3060=", "", "  ",
     "99x RTX 3090", "0x 12GiB", "-3GiB", "=12GiB", "12GiB=9GiB"],
)  # fmt: skip
def test_absurd_devices_are_refused_with_a_fix(written: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse_devices([written])
    assert refused.value.exit_code == 2
    assert refused.value.because
    assert refused.value.fix


@given(st.lists(st.text(max_size=30), max_size=3))
def test_any_words_give_sound_devices_or_a_bad_input(values: list[str]) -> None:
    try:
        devices = parse_devices(values)
    except BadInput:
        return
    for device in devices:
        assert 0 < device.free_bytes <= device.total_bytes <= 4 * TIB
        assert device.name


@given(st.integers(128, 4 * 1024 * 1024))
def test_every_size_between_the_limits_is_taken_to_the_mib(mib: int) -> None:
    (device,) = parse_devices([f"{mib}MiB"])
    assert device.total_bytes == device.free_bytes == mib << 20
