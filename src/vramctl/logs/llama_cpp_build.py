"""What llama.cpp prints about its build and the processor."""

from __future__ import annotations

from vramctl.logs.rule import Rule, at, rule

RULES: tuple[Rule, ...] = (
    rule(
        "build.info", r"^build info$",
        fields={"build": int, "commit": str},
        seen="llama-server, 2023-2024, and ik_llama.cpp",
        example=(
            'INFO [                    main] build info | tid="133181503258624" timestamp=1749452693 '
            'build=3737 commit="58f08e43"'
        ),
        gives={"build": 3737, "commit": "58f08e43"},
    ),
    rule(
        "build.info",
        r"^(?P<build>\d+) \((?P<commit>\w+)\) with (?P<compiler>.+) for (?P<target>\S+)(?: \((?P<mode>debug)\))?$",
        fields={"build": int, "commit": str, "compiler": str, "target": str, "mode": str},
        function="build",
        seen="llama.cpp, Sep 2024 on",
        example="build: 6040 (66625a59) with cc (GCC) 15.1.1 20250521 (Red Hat 15.1.1-2) for x86_64-redhat-linux",
        gives={
            "build": 6040, "commit": "66625a59", "compiler": "cc (GCC) 15.1.1 20250521 (Red Hat 15.1.1-2)",
            "target": "x86_64-redhat-linux",
        },
    ),
    rule(
        "build.info", r"^build = (?P<build>\d+) \((?P<commit>\w+)\)$",
        fields={"build": int, "commit": str},
        seen="llama.cpp 2023-Sep 2024, and ik_llama.cpp", example="main: build = 3668 (6c23618c)",
        gives={"build": 3668, "commit": "6c23618c"},
    ),
    rule(
        "build.info", r"^built with (?P<compiler>.+) for(?: (?P<target>\S+))?$",
        fields={"compiler": str, "target": str},
        seen="llama.cpp 2023 on",
        example="main: built with cc (Ubuntu 11.4.0-1ubuntu1~22.04) 11.4.0 for x86_64-linux-gnu",
        gives={"compiler": "cc (Ubuntu 11.4.0-1ubuntu1~22.04) 11.4.0", "target": "x86_64-linux-gnu"},
    ),
    rule(
        "build.info",
        r"^common_params_print_info: build (?P<build>\d+) \((?P<commit>\w+)\) with (?P<compiler>.+) for"
        r" (?P<target>.+)$",
        fields={"build": int, "commit": str, "compiler": str, "target": str},
        seen="llama.cpp, 2026",
        example="cmn  common_param: common_params_print_info: build 1 (d222767c7) with GNU 13.3.1 for Linux x86_64",
        gives={"build": 1, "commit": "d222767c7", "compiler": "GNU 13.3.1", "target": "Linux x86_64"},
    ),
    rule(
        "build.info", r"^(?P<build>\d+) \((?P<commit>[0-9a-f]{7,12}|unknown)\)$",
        fields={"build": int, "commit": str},
        function="version",
        seen="llama.cpp --version", example="version: 5054 (7a84777f)",
        gives={"build": 5054, "commit": "7a84777f"},
    ),
    rule(
        "bench.build", r"^(?P<commit>[0-9a-f]{7,12}|unknown) \((?P<build>\d+)\)$",
        fields={"build": int, "commit": str},
        function="build",
        seen="llama-bench", example="build: 09764678 (3715)",
        gives={"build": 3715, "commit": "09764678"},
    ),
    rule(
        "build.verbosity",
        r"^common_params_print_info: verbosity = (?P<level>\d+) \(adjust with the `-lv N` CLI arg\)$",
        fields={"level": int},
        seen="llama.cpp, 2026",
        example="cmn  common_param: common_params_print_info: verbosity = 4 (adjust with the `-lv N` CLI arg)",
        gives={"level": 4},
    ),
    rule(
        "cpu.info",
        r"^n_threads = (?P<threads>-?\d+)(?: \(n_threads_batch = (?P<threads_batch>-?\d+)\))? /"
        r" (?P<processors>\d+) \| (?P<features>.*)$",
        fields={"threads": int, "threads_batch": int, "processors": int, "features": str},
        function="system_info",
        seen="llama.cpp, 2023 on",
        example=(
            "system_info: n_threads = 6 (n_threads_batch = 6) / 16 | CUDA : ARCHS = 890 | USE_GRAPHS = 1 | "
            "CPU : SSE3 = 1 | AVX2 = 1 | REPACK = 1 | "
        ),
        gives={
            "threads": 6, "threads_batch": 6, "processors": 16,
            "features": "CUDA : ARCHS = 890 | USE_GRAPHS = 1 | CPU : SSE3 = 1 | AVX2 = 1 | REPACK = 1 |",
        },
    ),
    rule(
        "cpu.info",
        r"^system_info: n_threads = (?P<threads>-?\d+)(?: \(n_threads_batch = (?P<threads_batch>-?\d+)\))?"
        r" / (?P<processors>\d+) \| (?P<features>.*)$",
        fields={"threads": int, "threads_batch": int, "processors": int, "features": str},
        seen="llama.cpp, 2026",
        example=(
            "cmn  common_param: system_info: n_threads = 8 (n_threads_batch = 8) / 16 | CPU : SSE3 = 1 | "
            "LLAMAFILE = 1 | REPACK = 1 | "
        ),
        gives={
            "threads": 8, "threads_batch": 8, "processors": 16,
            "features": "CPU : SSE3 = 1 | LLAMAFILE = 1 | REPACK = 1 |",
        },
    ),
    rule(
        "cpu.info",
        r"^system info: n_threads = (?P<threads>-?\d+), n_threads_batch = (?P<threads_batch>-?\d+),"
        r" total_threads = (?P<processors>\d+)$",
        fields={"threads": int, "threads_batch": int, "processors": int},
        seen="llama-server, Sep 2024 on",
        example="system info: n_threads = 6, n_threads_batch = 6, total_threads = 16",
        gives={"threads": 6, "threads_batch": 6, "processors": 16},
    ),
    rule(
        "cpu.info", r"^system info$",
        fields={
            "threads": at("n_threads", int), "threads_batch": at("n_threads_batch", int),
            "processors": at("total_threads", int), "features": at("system_info"),
        },
        seen="llama-server, 2023-2024, and ik_llama.cpp",
        example=(
            'INFO [                    main] system info | tid="133181503258624" timestamp=1749452693 '
            'n_threads=57 n_threads_batch=-1 total_threads=112 system_info="AVX = 1 | AVX2 = 1 | "'
        ),
        gives={"threads": 57, "threads_batch": -1, "processors": 112, "features": "AVX = 1 | AVX2 = 1 | "},
    ),
)  # fmt: skip
