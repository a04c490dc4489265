"""Rules for figures that no log was seen to print, each fitted to the cards whose figures were.

Every rule returns MiB and the words for the figure's source, which begin with `derived`.
"""

from __future__ import annotations

Derived = tuple[int, str]

TURING = 7.5
VOLTA = 7.0
RESERVE_CAP_MIB = 640
PASCAL_RESERVE_MIB = 90
VOLTA_RESERVE_MIB = 274
AMD_RESERVE_MIB = 16
IDLE_NVIDIA_MIB = 1
IDLE_AMD_MIB = 24
INTEL_SHARE = 15473 / 16384
UNIFIED_SHARE = 0.93
UNIFIED_FREE_SHARE = 0.94
METAL_SMALL_GIB = 32


def nvml_total_mib(rule: str, nominal_gib: float, bus_bits: int) -> Derived | None:
    """nvidia-smi's memory.total in MiB by the rule of a family; None where the family has none.

    plain: 16 of 16 prints (GTX 1050 Ti to RTX 3090, A100, Tesla M60). ada: RTX 4060, 4060 Ti, 4070 SUPER, 4080 SUPER,
    4090, RTX 4000 SFF Ada. blackwell: RTX 5060, 5070, 5070 Ti, 5090 (desktop and laptop), RTX PRO 6000.
    ecc: A10G, L4, L40S.
    """
    nominal = round(nominal_gib * 1024)
    if rule == "plain":
        return nominal, "derived: the nominal size (so printed for GeForce 10 to 30, Quadro, A100)"
    if rule == "ada":
        mib = nominal - bus_bits // 32
        return mib, "derived: nominal minus 1 MiB per 32 bits of bus (fits RTX 4060, 4070 SUPER, 4080 SUPER, 4090)"
    if rule == "blackwell":
        mib = nominal - round(4 * nominal_gib) - bus_bits // 16 - 1
        return mib, (
            "derived: nominal minus 4 MiB per GiB, 1 per 16 bits of bus and 1 (fits RTX 5060, 5070, 5090, PRO 6000)"
        )
    if rule == "ecc":
        return (nominal - bus_bits // 32) * 15 // 16, (
            "derived: 15/16 (ECC on) of nominal minus 1 MiB per 32 bits of bus (fits A10G, L4, L40S)"
        )
    if rule == "hopper80":
        return 81559, "derived: as nvidia-smi prints for the other 80 GB H100 (HBM3)"
    return None


def reserve_mib(compute_capability: float, nominal_gib: float) -> Derived:
    """MiB that the NVIDIA driver keeps: nvidia-smi's total less what CUDA calls the total memory.

    From Turing on the figure is that of drivers from 570 on, whose GPU firmware takes its share: 370 MiB and 4 MiB per
    GiB, at most 640 (prints: 376 to 490 MiB from 4 to 32 GB, 601 to 637 on 48 and 96 GB, 478 to 869 on HBM cards).
    Older drivers keep less: 251 MiB on an RTX 3060, 316 on an RTX 3090.
    """
    if compute_capability >= TURING:
        mib = min(370 + round(4 * nominal_gib), RESERVE_CAP_MIB)
        return mib, "the driver's share (370 MiB and 4 per GiB, at most 640: drivers from 570 on, ± 60)"
    if compute_capability >= VOLTA:
        return VOLTA_RESERVE_MIB, "the driver's 274 MiB (as on a V100 32GB)"
    return PASCAL_RESERVE_MIB, "the driver's 90 MiB (58 to 94 seen on GTX 1050 Ti, 1060, 1080)"


def amd_total_mib(rule: str, nominal_gib: float) -> Derived | None:
    """What ROCm calls the total memory, in MiB; None for GPUs that share the system's memory."""
    nominal = round(nominal_gib * 1024)
    if rule == "amd":
        return nominal - AMD_RESERVE_MIB, "derived: nominal minus 16 MiB (fits RX 6700 XT to RX 7900 XTX, MI50, MI210)"
    if rule == "rdna4":
        mib = nominal - round(4 * nominal_gib) - AMD_RESERVE_MIB
        return mib, "derived: nominal minus 4 MiB per GiB and 16 MiB (fits RX 9070, RX 9070 XT, R9700)"
    return None


def intel_total_mib(nominal_gib: float) -> Derived:
    """What SYCL (Level Zero) calls the total memory, in MiB."""
    return int(nominal_gib * 1024 * INTEL_SHARE), "derived: 94.4 % of nominal (as on an Arc A770 16GB: 15473 MiB)"


def unified_total_mib(nominal_gib: float) -> Derived:
    """What CUDA calls the total memory of a Jetson or GB10, in MiB: the system's, less the firmware's share."""
    return int(
        nominal_gib * 1024 * UNIFIED_SHARE
    ), "derived: 93 % of the system's memory (Orin, Thor, GB10: 93 to 96 %)"


def metal_working_set_mib(nominal_gib: float) -> Derived:
    """Metal's recommendedMaxWorkingSetSize in MiB: what a process may use of unified memory without a sysctl.

    2/3 of the memory up to 32 GiB, 3/4 above (seen: 10922 MiB of 16 GiB, 98304 of 128 GiB). Newer systems give more:
    12124 MiB of 16 GiB and 37.4 GiB of 48 GiB were seen. `sysctl iogpu.wired_limit_mb` raises it.
    """
    share, words = (2 / 3, "2/3") if nominal_gib <= METAL_SMALL_GIB else (3 / 4, "3/4")
    return int(nominal_gib * 1024 * share), (
        f"derived: recommendedMaxWorkingSetSize, {words} of the memory (2/3 up to 32 GiB, else 3/4; newer systems more)"
    )
