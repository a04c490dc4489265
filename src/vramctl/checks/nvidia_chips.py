"""NVIDIA's GPU generations by PCI device number, and which drivers run them."""

from __future__ import annotations

# Ranges of device numbers per generation: pci.ids of April 2023 for chips up to Ada (GF, GK, GM, GP, GV, TU, GA, AD, GH),
# the list of supported GPUs in open-gpu-kernel-modules' README (580 branch) for Turing and later.
_RANGES: tuple[tuple[int, int, str], ...] = (
    (0x06C0, 0x06DF, "Fermi"), (0x0DC0, 0x0E3B, "Fermi"), (0x0F00, 0x0F06, "Fermi"), (0x1040, 0x109B, "Fermi"),
    (0x1140, 0x1140, "Fermi"), (0x1200, 0x1251, "Fermi"),
    (0x0FC0, 0x103F, "Kepler"), (0x1180, 0x11FF, "Kepler"), (0x1280, 0x12BF, "Kepler"),
    (0x1340, 0x143F, "Maxwell"), (0x1600, 0x167F, "Maxwell"), (0x1740, 0x17FF, "Maxwell"),
    (0x15F0, 0x15FF, "Pascal"), (0x1725, 0x172F, "Pascal"), (0x1B00, 0x1D7F, "Pascal"),
    (0x1D80, 0x1DFF, "Volta"),
    (0x1E00, 0x1FFF, "Turing"), (0x2180, 0x21FF, "Turing"),
    (0x2080, 0x20FF, "Ampere"), (0x2200, 0x22FF, "Ampere"), (0x2400, 0x25FF, "Ampere"),
    (0x2300, 0x23FF, "Hopper"),
    (0x2600, 0x28FF, "Ada"),
    (0x2900, 0x2FFF, "Blackwell"), (0x3180, 0x31FF, "Blackwell"),
)  # fmt: skip
_ORDER = ("Fermi", "Kepler", "Maxwell", "Pascal", "Volta", "Turing", "Ampere", "Hopper", "Ada", "Blackwell")
# The last driver branch that runs a generation.
LAST_BRANCH = {"Fermi": 390, "Kepler": 470, "Maxwell": 580, "Pascal": 580, "Volta": 580}
# The first branch after it, which leaves these GPUs alone.
FIRST_WITHOUT = {"Fermi": 396, "Kepler": 495, "Maxwell": 590, "Pascal": 590, "Volta": 590}
# Data-centre boards and GB10, which have drivers of their own numbering but are Blackwell all the same.
NEEDS_OPEN = frozenset({"Blackwell"})


def generation(device_id: int) -> str:
    """The generation of a PCI device number, "" where it is not known here."""
    if device_id == 0x1AF1:  # GA100 engineering boards lie among Pascal's numbers
        return "Ampere"
    return next((name for first, last, name in _RANGES if first <= device_id <= last), "")


def has_gsp(device_id: int) -> bool | None:
    """Whether it has the processor that the open kernel modules need (Turing and later); None where it is not known."""
    name = generation(device_id)
    return _ORDER.index(name) >= _ORDER.index("Turing") if name else None
