"""Names as people write them, and what they hear where a name says too little."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vramctl.catalogue import entries, find
from vramctl.catalogue.find import words
from vramctl.errors import BadInput


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("RTX 3060", "NVIDIA GeForce RTX 3060"),
        ("rtx3060", "NVIDIA GeForce RTX 3060"),
        ("NVIDIA GeForce RTX 3060", "NVIDIA GeForce RTX 3060"),
        ("3060 12GB", "NVIDIA GeForce RTX 3060"),
        ("RTX 3060 8GB", "NVIDIA GeForce RTX 3060 8GB"),
        ("4090", "NVIDIA GeForce RTX 4090"),
        ("RTX 4090 24 GB", "NVIDIA GeForce RTX 4090"),
        ("4090 mobile", "NVIDIA GeForce RTX 4090 Laptop GPU"),
        ("A100 80GB", "NVIDIA A100-SXM4-80GB"),
        ("A100 PCIe 80GB", "NVIDIA A100 80GB PCIe"),
        ("h200", "NVIDIA H200"),
        ("GTX 1060 6 GB", "NVIDIA GeForce GTX 1060 6GB"),
        ("rtx 6000 ada", "NVIDIA RTX 6000 Ada Generation"),
        ("DGX Spark", "NVIDIA GB10"),
        ("RX7900XTX", "AMD Radeon RX 7900 XTX"),
        ("mi300x", "AMD Instinct MI300X"),
        ("Intel(R) Arc(TM) B580 Graphics", "Intel Arc B580"),
        ("M4 Pro 48GB", "Apple M4 Pro 48GB"),
    ],
)
def test_finds_a_gpu_by_a_usual_spelling(written: str, name: str) -> None:
    assert find(written).name == name


@pytest.mark.parametrize(
    ("written", "candidates"),
    [
        ("A100", ("A100-SXM4-40GB", "A100-SXM4-80GB")),
        ("GTX 1060", ("1060 3GB", "1060 6GB")),
        ("RTX 4060 Ti", ("4060 Ti 8GB", "4060 Ti 16GB")),
        ("RTX 6000", ("Quadro RTX 6000", "RTX 6000 Ada Generation", "RTX PRO 6000")),
        ("M4 Pro", ("M4 Pro 24GB", "M4 Pro 48GB", "M4 Pro 64GB")),
    ],
)
def test_a_name_that_means_several_gpus_is_refused_with_the_candidates(
    written: str, candidates: tuple[str, ...]
) -> None:
    with pytest.raises(BadInput) as refused:
        find(written)
    assert refused.value.code == "ambiguous-gpu"
    assert all(candidate in refused.value.because[0] for candidate in candidates)


def test_an_unknown_name_is_refused_with_near_ones() -> None:
    with pytest.raises(BadInput) as refused:
        find("RTX 3006")
    assert refused.value.code == "unknown-gpu"
    assert "RTX 3060" in refused.value.because[0]


def test_a_size_that_the_card_was_never_sold_with_is_refused() -> None:
    with pytest.raises(BadInput) as refused:
        find("RTX 5090 24GB")
    assert "32 GB" in refused.value.because[0]


@pytest.mark.parametrize("written", ["", "nvidia", "GPU", "gb", "-3GiB", "???", "🦙"])
def test_a_name_without_a_model_is_unknown(written: str) -> None:
    with pytest.raises(BadInput) as refused:
        find(written)
    assert refused.value.code == "unknown-gpu"


def test_words_join_sizes_and_drop_vendors() -> None:
    assert words("NVIDIA GeForce RTX 3060 12 GB") == ("12gb", "3060", "rtx")
    assert words("GB10") == ("10", "gb")


@given(st.text(max_size=60))
def test_any_text_gives_an_entry_or_a_bad_input(text: str) -> None:
    try:
        entry = find(text)
    except BadInput as refused:
        assert refused.because
        assert refused.fix
    else:
        assert entry in entries()
