"""What llama.cpp prints while it fits a model to memory, and its tables of memory."""

from __future__ import annotations

from vramctl.logs.rule import Rule, rule
from vramctl.logs.values import mib, milliseconds

RULES: tuple[Rule, ...] = (
    rule(
        "fit.projected",
        r"^projected to use (?P<projected>\d+) MiB of (?P<where>host) memory vs\. (?P<available>\d+) MiB of"
        r" total host memory$",
        fields={"projected": mib, "available": mib, "where": str},
        seen="llama.cpp, Dec 2025 on",
        example="common_params_fit_impl: projected to use 1635 MiB of host memory vs. 6858 MiB of total host memory",
        gives={"projected": mib("1635"), "available": mib("6858"), "where": "host"},
    ),
    rule(
        "fit.projected",
        r"^projected to use (?P<projected>\d+) MiB of (?P<where>device) memory vs\. (?P<available>\d+) MiB"
        r" of free device memory$",
        fields={"projected": mib, "available": mib, "where": str},
        seen="llama.cpp, Dec 2025 on",
        example="llama_params_fit_impl: projected to use 11102 MiB of device memory vs. 11022 MiB of free device memory",
        gives={"projected": mib("11102"), "available": mib("11022"), "where": "device"},
    ),
    rule(
        "fit.leaves",
        r"^will leave (?P<leaves>-?\d+) >= (?P<target>\d+) MiB of (?P<where>system memory|free device"
        r" memory), no changes needed$",
        fields={"leaves": mib, "target": mib, "where": str},
        seen="llama.cpp, Dec 2025 on",
        example="common_params_fit_impl: will leave 5222 >= 2693 MiB of system memory, no changes needed",
        gives={"leaves": mib("5222"), "target": mib("2693"), "where": "system memory"},
    ),
    rule(
        "fit.leaves", r"^targets for free memory can be met on all devices, no changes needed$",
        seen="llama.cpp, Dec 2025 on",
        example="common_params_fit_impl: targets for free memory can be met on all devices, no changes needed",
    ),
    rule(
        "fit.short",
        r"^cannot (?:meet|fulfill) (?:free memory target|margin) of (?P<target>\d+) MiB, need to reduce"
        r" device memory by (?P<missing>\d+) MiB$",
        fields={"target": mib, "missing": mib},
        seen="llama.cpp, Dec 2025 on",
        example="common_params_fit_impl: cannot meet free memory target of 1024 MiB, need to reduce device memory by 1104 MiB",
        gives={"target": mib("1024"), "missing": mib("1104")},
    ),
    rule(
        "fit.short",
        r"^cannot (?:meet|fulfill) (?:free memory targets|margins) on all devices, need to use"
        r" (?P<missing>\d+) MiB less in total$",
        fields={"missing": mib},
        seen="llama.cpp, Dec 2025 on",
        example="common_params_fit_impl: cannot meet free memory targets on all devices, need to use 9104 MiB less in total",
        gives={"missing": mib("9104")},
    ),
    rule(
        "fit.device_plan",
        r"^- (?P<device>.+?): +(?P<total>\d+) total, +(?P<used>\d+) used, +(?P<free>-?\d+) free vs\. target"
        r" of +(?P<target>\d+)$",
        fields={"device": str, "total": mib, "used": mib, "free": mib, "target": mib},
        seen="llama.cpp, Dec 2025 on",
        example=(
            "common_params_fit_impl:   - CUDA0 (NVIDIA GeForce RTX 3060):  12053 total,  11102 used,    -80 "
            "free vs. target of   1024"
        ),
        gives={
            "device": "CUDA0 (NVIDIA GeForce RTX 3060)", "total": mib("12053"), "used": mib("11102"),
            "free": mib("-80"), "target": mib("1024"),
        },
    ),
    rule(
        "fit.device_plan",
        r"^- (?P<device>.+?): +(?P<total>\d+) total, +(?P<used>\d+) used, +(?P<left>-?\d+)"
        r" (?P<how>surplus|deficit)$",
        fields={"device": str, "total": mib, "used": mib, "left": mib, "how": str},
        seen="llama.cpp, Dec 2025",
        example="llama_params_fit_impl:   - CUDA0 (NVIDIA GeForce RTX 3060):  12053 total,  11102 used,    -80 deficit",
        gives={
            "device": "CUDA0 (NVIDIA GeForce RTX 3060)", "total": mib("12053"), "used": mib("11102"),
            "left": mib("-80"), "how": "deficit",
        },
    ),
    rule(
        "fit.layers",
        r"^- (?P<device>.+?): +(?P<layers>\d+) layers(?: \( *(?P<overflowing>\d+) overflowing\))?,"
        r" +(?P<used>\d+) MiB used, +(?P<free>-?\d+) MiB free$",
        fields={"device": str, "layers": int, "overflowing": int, "used": mib, "free": mib},
        seen="llama.cpp, Dec 2025 on",
        example=(
            "common_params_fit_impl:   - CUDA0 (NVIDIA GeForce RTX 3060): 49 layers (30 overflowing),  "
            "10002 MiB used,   1034 MiB free"
        ),
        gives={
            "device": "CUDA0 (NVIDIA GeForce RTX 3060)", "layers": 49, "overflowing": 30, "used": mib("10002"),
            "free": mib("1034"),
        },
    ),
    rule(
        "fit.context_reduced",
        r"^context size reduced from (?P<before>\d+) to (?P<after>\d+) -> need (?P<saved>\d+) MiB less"
        r" memory in total$",
        fields={"before": int, "after": int, "saved": mib},
        seen="llama.cpp, Dec 2025 on",
        example="common_params_fit_impl: context size reduced from 131072 to 20736 -> need 9104 MiB less memory in total",
        gives={"before": 131072, "after": 20736, "saved": mib("9104")},
    ),
    rule(
        "fit.context_kept",
        r"^(?:context size set by user to|user has requested full context size of|default model context"
        r" size is) (?P<context>\d+)(?: which is <= the min\. context size of (?P<minimum>\d+))? -> no"
        r" change$",
        fields={"context": int, "minimum": int},
        seen="llama.cpp, Dec 2025 on",
        example="common_params_fit_impl: context size set by user to 32768 -> no change",
        gives={"context": 32768},
    ),
    rule(
        "fit.context_kept",
        r"^context size unset and KV cache not unified -> using (?P<context>\d+) for (?P<sequences>\d+) sequences:$",
        fields={"context": int, "sequences": int},
        seen="llama.cpp, 2026",
        example="common_params_fit_impl: context size unset and KV cache not unified -> using 16384 for 4 sequences:",
        gives={"context": 16384, "sequences": 4},
    ),
    rule(
        "fit.step",
        r"^(?P<what>getting device memory data .+:|projected memory use with initial parameters"
        r" \[MiB\]:|memory for test allocation by device:|filling dense(?:-only)? layers"
        r" back-to-front:|converting dense-only layers to full layers and filling them .+:|entire model"
        r" (?:can|should) be fit .*by reducing context|trying to fit one extra layer with"
        r" overflow_type=\w+|start filling device \d+, delta=\d+|set ngl_per_device\S*=.+|id=\d+,"
        r" (?:target|n_layer)=.+|measuring .+)$",
        fields={"what": str},
        function=(
            "common_params_fit_impl", "llama_params_fit_impl", "operator()", "operator", "common_fit_params",
            "llama_params_fit", "common_params_fit",
        ),
        seen="llama.cpp, Dec 2025 on",
        example="common_params_fit_impl: getting device memory data for initial parameters:",
        gives={"what": "getting device memory data for initial parameters:"},
    ),
    rule(
        "fit.dense",
        r"^with only dense weights in device memory there is (?:a total|still a total)"
        r" (?P<how>surplus|deficit) of (?P<size>\d+) MiB$",
        fields={"how": str, "size": mib},
        seen="llama.cpp, Dec 2025 on",
        example="common_params_fit_impl: with only dense weights in device memory there is a total surplus of 6021 MiB",
        gives={"how": "surplus", "size": mib("6021")},
    ),
    rule(
        "fit.succeeded", r"^successfully fit params to free device memory$",
        seen="llama.cpp, Dec 2025 on", example="common_fit_params: successfully fit params to free device memory",
    ),
    rule(
        "fit.failed", r"^failed to fit params to free device memory: (?P<error>.+)$",
        fields={"error": str},
        seen="llama.cpp, Dec 2025 on",
        example="common_fit_params: failed to fit params to free device memory: n_gpu_layers already set by user to 99, abort",
        gives={"error": "n_gpu_layers already set by user to 99, abort"},
    ),
    rule(
        "fit.failed", r"^encountered an error while trying to fit params to free device memory: (?P<error>.+)$",
        fields={"error": str},
        seen="llama.cpp, Dec 2025 on",
        example="common_fit_params: encountered an error while trying to fit params to free device memory: failed to load model",
        gives={"error": "failed to load model"},
    ),
    rule(
        "fit.failed",
        r"^failed to (?:fit CLI arguments to free memory, exiting\.\.\.|measure the memory of the extra"
        r" model, fitting without it: (?P<error>.+))$",
        fields={"error": str},
        seen="llama.cpp, 2026",
        example=(
            "common_params_fit_impl: failed to measure the memory of the extra model, fitting without it: "
            "failed to load model"
        ),
        gives={"error": "failed to load model"},
    ),
    rule(
        "fit.seconds", r"^fitting params to free memory took (?P<seconds>\d+\.\d+) seconds$",
        fields={"seconds": float},
        seen="llama.cpp, Dec 2025 on", example="common_fit_params: fitting params to free memory took 0.70 seconds",
        gives={"seconds": 0.7},
    ),
    rule(
        "fit.started", r"^fitting params to device memory(?: \.\.\.|, .+)$",
        seen="llama.cpp, Dec 2025 on", example="cmn  common_init_: fitting params to device memory ...",
    ),
    rule(
        "fit.hint",
        r"^\(for bugs during this step try to reproduce them with -fit off, or provide --verbose logs if"
        r" the bug only occurs with -fit on\)$",
        seen="llama.cpp, Jan 2026 on",
        example=(
            "cmn  common_init_: (for bugs during this step try to reproduce them with -fit off, or provide "
            "--verbose logs if the bug only occurs with -fit on)"
        ),
    ),
    rule(
        "memory.breakdown_head",
        r"^\| memory breakdown \[MiB\] +\| +total +free +self +model +context +compute +unaccounted \|$",
        seen="llama.cpp, Sep 2025 on",
        example=(
            "common_memory_breakdown_print: | memory breakdown [MiB] |  total     free     self   model   "
            "context   compute    unaccounted |"
        ),
    ),
    rule(
        "memory.breakdown",
        r"^\| +- (?P<device>\S+) \((?P<name>.+)\) +\| +(?P<total>\d+) = +(?P<free>\d+) \+ \( *(?P<own>\d+)"
        r" = +(?P<model>\d+) \+ +(?P<context>\d+) \+ +(?P<compute>\d+)\) \+ +(?P<unaccounted>-?\d+) \|$",
        fields={
            "device": str, "name": str, "total": mib, "free": mib, "own": mib, "model": mib, "context": mib,
            "compute": mib, "unaccounted": mib,
        },
        seen="llama.cpp, Sep 2025 on",
        example=(
            "llama_memory_breakdown_print: |   - CUDA0 (RTX 3060)   | 12053 = 5502 + (5817 =  4403 +    "
            "1152 +     262) +         733 |"
        ),
        gives={
            "device": "CUDA0", "name": "RTX 3060", "total": mib("12053"), "free": mib("5502"), "own": mib("5817"),
            "model": mib("4403"), "context": mib("1152"), "compute": mib("262"), "unaccounted": mib("733"),
        },
    ),
    rule(
        "memory.breakdown",
        r"^\| +- (?P<device>\S+) +\| +(?P<own>\d+) = +(?P<model>\d+) \+ +(?P<context>\d+) \+ +(?P<compute>\d+) +\|$",
        fields={"device": str, "own": mib, "model": mib, "context": mib, "compute": mib},
        seen="llama.cpp, Sep 2025 on",
        example=(
            "common_memory_breakdown_print: |   - Host               |                 1635 =   635 +     "
            "832 +     168                |"
        ),
        gives={
            "device": "Host", "own": mib("1635"), "model": mib("635"), "context": mib("832"),
            "compute": mib("168"),
        },
    ),
    rule(
        "fit.projector",
        r"^\[mtmd\] estimated (?:worst-case )?memory usage of mmproj is (?P<size>\d+\.\d+) MiB(?: \(took"
        r" (?P<seconds>\d+\.\d+) ms\))?$",
        fields={"size": mib, "seconds": milliseconds},
        seen="llama-server, 2026",
        example="srv    load_model: [mtmd] estimated worst-case memory usage of mmproj is 867.00 MiB (took 25.71 ms)",
        gives={"size": mib("867.00"), "seconds": 0.02571},
    ),
)  # fmt: skip
