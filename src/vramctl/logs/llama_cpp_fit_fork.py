"""What ik_llama.cpp prints while it fits a model to memory."""

from __future__ import annotations

from vramctl.logs.rule import Rule, rule
from vramctl.logs.values import mib

RULES: tuple[Rule, ...] = (
    rule(
        "fit.ik",
        r"^Free memory (?P<free>\d+) MiB on device (?P<device>\d+) is less the (?:required compute buffer"
        r" size (?P<compute>\d+(?:\.\d+)?) MiB|(?P<margin>\d+) MiB safety margin)$",
        fields={"free": mib, "device": int, "compute": mib, "margin": mib},
        seen="ik_llama.cpp 2026", example="Free memory 512 MiB on device 0 is less the 1024 MiB safety margin",
        gives={"free": mib("512"), "device": 0, "margin": mib("1024")},
    ),
    rule(
        "fit.ik",
        r"^(?:Estimated memory use for split mode `graph'|Memory use in device (?P<device>\d+)) is"
        r" (?P<needed>\d+) MiB after adding (?P<overrides>\d+) overrides, which is less than available"
        r" memory of (?P<free>\d+) MiB$",
        fields={"device": int, "needed": mib, "overrides": int, "free": mib},
        seen="ik_llama.cpp 2026",
        example=(
            "Memory use in device 0 is 22012 MiB after adding 12 overrides, which is less than available "
            "memory of 22914 MiB"
        ),
        gives={"device": 0, "needed": mib("22012"), "overrides": 12, "free": mib("22914")},
    ),
    rule(
        "fit.ik_short",
        r"^Required memory (?P<needed>\d+) MiB(?: in device (?P<device>\d+))? is still greater than"
        r" available memory (?P<free>\d+) MiB after overriding all MoE tensors to CPU$",
        fields={"needed": mib, "device": int, "free": mib},
        seen="ik_llama.cpp 2026",
        example=(
            "Required memory 26012 MiB in device 0 is still greater than available memory 22914 MiB after "
            "overriding all MoE tensors to CPU"
        ),
        gives={"needed": mib("26012"), "device": 0, "free": mib("22914")},
    ),
    rule(
        "fit.ik_short",
        r"^No MoE tensors in (?:model|layers assigned to device (?P<device>\d+),) and required memory"
        r" (?P<needed>\d+) MiB greater than available memory (?P<free>\d+) MiB\.$",
        fields={"device": int, "needed": mib, "free": mib},
        seen="ik_llama.cpp 2026",
        example="No MoE tensors in model and required memory 26012 MiB greater than available memory 22914 MiB.",
        gives={"needed": mib("26012"), "free": mib("22914")},
    ),
    rule(
        "fit.ik_short", r"^Not enough memory in device (?P<device>\d+) to offload the output layer$",
        fields={"device": int},
        seen="ik_llama.cpp 2026", example="Not enough memory in device 0 to offload the output layer",
        gives={"device": 0},
    ),
)  # fmt: skip
