"""What is printed when llama.cpp crashes: assertions, signals, stacks."""

from __future__ import annotations

from vramctl.logs.rule import Rule, rule

RULES: tuple[Rule, ...] = (
    rule(
        "crash.fatal", r"^(?P<file>(?:[A-Za-z]:)?[^:|]+\.(?:cu|cuh|cpp|c|h|hpp|m|inc)):(?P<line>\d+): CUDA error$",
        fields={"file": str, "line": int},
        seen="llama.cpp, 2024 on", example="/ik_llama.cpp/ggml/src/ggml-cuda.cu:110: CUDA error",
        gives={"file": "/ik_llama.cpp/ggml/src/ggml-cuda.cu", "line": 110},
    ),
    rule(
        "crash.fatal", r"^(?P<file>(?:[A-Za-z]:)?[^:|]+\.(?:cu|cuh|cpp|c|h|hpp|m|inc)):(?P<line>\d+): ROCm error$",
        fields={"file": str, "line": int},
        seen="llama.cpp, 2024 on", example="/opt/llama.cpp/ggml/src/ggml-cuda/ggml-cuda.cu:89: ROCm error",
        gives={"file": "/opt/llama.cpp/ggml/src/ggml-cuda/ggml-cuda.cu", "line": 89},
    ),
    rule(
        "crash.fatal", r"^(?P<file>(?:[A-Za-z]:)?[^:|]+\.(?:cu|cuh|cpp|c|h|hpp|m|inc)):(?P<line>\d+): MUSA error$",
        fields={"file": str, "line": int},
        seen="llama.cpp, 2024 on", example="/llama.cpp/ggml/src/ggml-cuda/ggml-cuda.cu:89: MUSA error",
        gives={"file": "/llama.cpp/ggml/src/ggml-cuda/ggml-cuda.cu", "line": 89},
    ),
    rule(
        "crash.fatal", r"^(?P<file>(?:[A-Za-z]:)?[^:|]+\.(?:cu|cuh|cpp|c|h|hpp|m|inc)):(?P<line>\d+): fatal error$",
        fields={"file": str, "line": int},
        seen="llama.cpp, 2024 on",
        example="D:\\a\\ik_llama.cpp\\ik_llama.cpp\\ggml\\src\\ggml-cuda\\mmq.cuh:107: fatal error",
        gives={"file": "D:\\a\\ik_llama.cpp\\ik_llama.cpp\\ggml\\src\\ggml-cuda\\mmq.cuh", "line": 107},
    ),
    rule(
        "crash.assert",
        r"^(?P<file>(?:[A-Za-z]:)?[^:|]+\.(?:cu|cuh|cpp|c|h|hpp|m|inc)):(?P<line>\d+):"
        r" GGML_ASSERT\((?P<expression>.+)\) failed$",
        fields={"file": str, "line": int, "expression": str},
        seen="llama.cpp, 2024 on", example="llama.cpp:10939: GGML_ASSERT(hparams.n_swa > 0) failed",
        gives={"file": "llama.cpp", "line": 10939, "expression": "hparams.n_swa > 0"},
    ),
    rule(
        "crash.assert", r"^GGML_ASSERT\((?P<expression>.+)\) failed$",
        fields={"expression": str},
        seen="llama.cpp, several threads at once", example="GGML_ASSERT(fms.S[j] > 0) failed",
        gives={"expression": "fms.S[j] > 0"},
    ),
    rule(
        "crash.assert", r"^(?P<file>(?:[A-Za-z]:)?[^:]+):(?P<line>\d+): (?P<expression>.+)$",
        fields={"file": str, "line": int, "expression": str},
        function=("GGML_ASSERT", "LLAMA_ASSERT"),
        seen="llama.cpp 2023", example="GGML_ASSERT: /go/src/llama.cpp/ggml-cuda.cu:5925: false",
        gives={"file": "/go/src/llama.cpp/ggml-cuda.cu", "line": 5925, "expression": "false"},
    ),
    rule(
        "crash.fatal",
        r"^(?P<file>(?:[A-Za-z]:)?[^:|]+\.(?:cu|cuh|cpp|c|h|hpp|m|inc)):(?P<line>\d+): (?P<model>\S+) does"
        r" not support K-shift$",
        fields={"file": str, "line": int, "model": str},
        seen="llama.cpp, 2024 on", example="/llama.cpp/src/llama.cpp:17994: Deepseek2 does not support K-shift",
        gives={"file": "/llama.cpp/src/llama.cpp", "line": 17994, "model": "Deepseek2"},
    ),
    rule(
        "crash.fatal",
        r"^(?P<file>(?:[A-Za-z]:)?[^:|]+\.(?:cu|cuh|cpp|c|h|hpp|m|inc)):(?P<line>\d+): The current"
        r" (?P<what>KV cache / model configuration|context) does not support K-shift$",
        fields={"file": str, "line": int, "what": str},
        seen="llama.cpp, 2024 on",
        example="/llama.cpp/src/llama-kv-cache.cpp:512: The current KV cache / model configuration does not support K-shift",
        gives={"file": "/llama.cpp/src/llama-kv-cache.cpp", "line": 512, "what": "KV cache / model configuration"},
    ),
    rule(
        "crash.fatal",
        r"^(?P<file>(?:[A-Za-z]:)?[^:|]+\.(?:cu|cuh|cpp|c|h|hpp|m|inc)):(?P<line>\d+): pre-allocated tensor"
        r" \((?P<tensor>.+)\) in a buffer \((?P<buffer>\S+)\) that cannot run the operation \((?P<op>\w+)\)$",
        fields={"file": str, "line": int, "tensor": str, "buffer": str, "op": str},
        seen="llama.cpp, 2024 on",
        example=(
            "/llama.cpp/ggml/src/ggml-backend.cpp:750: pre-allocated tensor (cache_k_l0 (view)) in a buffer "
            "(CUDA0) that cannot run the operation (SET_ROWS)"
        ),
        gives={
            "file": "/llama.cpp/ggml/src/ggml-backend.cpp", "line": 750, "tensor": "cache_k_l0 (view)",
            "buffer": "CUDA0", "op": "SET_ROWS",
        },
    ),
    rule(
        "crash.fatal",
        r"^(?P<file>(?:[A-Za-z]:)?[^:|]+\.(?:cu|cuh|cpp|c|h|hpp|m|inc)):(?P<line>\d+): Unsupported KV type"
        r" combination for head_size (?P<head>\d+)\.$",
        fields={"file": str, "line": int, "head": str},
        seen="llama.cpp, 2024 on",
        example="/llama.cpp/ggml/src/ggml-cuda/fattn.cu:66: Unsupported KV type combination for head_size 128.",
        gives={"file": "/llama.cpp/ggml/src/ggml-cuda/fattn.cu", "line": 66, "head": "128"},
    ),
    rule(
        "crash.fatal",
        r"^(?P<file>(?:[A-Za-z]:)?[^:|]+\.(?:cu|cuh|cpp|c|h|hpp|m|inc)):(?P<line>\d+): Remote RPC server"
        r" crashed or returned malformed response$",
        fields={"file": str, "line": int},
        seen="llama.cpp, 2024 on",
        example="/llama.cpp/ggml/src/ggml-rpc/ggml-rpc.cpp:416: Remote RPC server crashed or returned malformed response",
        gives={"file": "/llama.cpp/ggml/src/ggml-rpc/ggml-rpc.cpp", "line": 416},
    ),
    rule(
        "crash.abort", r"^Aborted \(core dumped\)$",
        seen="a shell, after llama.cpp", example="Aborted (core dumped)",
    ),
    rule(
        "crash.abort", r"^Aborted +\(core dumped\) (?P<command>\S.*)$",
        fields={"command": str},
        seen="a shell script, after llama.cpp",
        example='Aborted                 (core dumped) ./build/bin/llama-server "$@"',
        gives={"command": './build/bin/llama-server "$@"'},
    ),
    rule(
        "crash.abort", r"^Aborted$",
        seen="a shell, after llama.cpp", example="Aborted",
    ),
    rule(
        "crash.abort", r"^\[\d+\] +(?P<pid>\d+) (?P<signal>abort) +\(core dumped\)(?P<command> .*)?$",
        fields={"pid": int, "signal": str},
        seen="zsh, after llama.cpp", example="[1]    3804384 abort (core dumped)  ./llama-server",
        gives={"pid": 3804384, "signal": "abort"},
    ),
    rule(
        "crash.signal", r"^Segmentation fault$",
        seen="a shell, after llama.cpp", example="Segmentation fault",
    ),
    rule(
        "crash.signal", r"^Segmentation fault \(core dumped\)$",
        seen="a shell, after llama.cpp", example="Segmentation fault (core dumped)",
    ),
    rule(
        "crash.signal", r"^\[\d+\] +(?P<pid>\d+) segmentation fault +\(core dumped\)(?P<command> .*)?$",
        fields={"pid": int},
        seen="zsh, after llama.cpp", example="[1]    3804384 segmentation fault (core dumped)",
        gives={"pid": 3804384},
    ),
    rule(
        "crash.signal", r"^Illegal instruction(?: \(core dumped\))?$",
        seen="a shell, after llama.cpp", example="Illegal instruction (core dumped)",
    ),
    rule(
        "crash.signal", r"^Bus error(?: \(core dumped\))?$",
        seen="a shell, after llama.cpp", example="Bus error (core dumped)",
    ),
    rule(
        "crash.signal", r"^Floating point exception(?: \(core dumped\))?$",
        seen="a shell, after llama.cpp", example="Floating point exception (core dumped)",
    ),
    rule(
        "crash.signal", r"^Killed$",
        seen="a shell, after the kernel ended llama.cpp", example="Killed",
    ),
    rule(
        "crash.exception", r"^terminate called after throwing an instance of '(?P<exception>.+)'$",
        fields={"exception": str},
        seen="C++ runtime", example="terminate called after throwing an instance of 'vk::DeviceLostError'",
        gives={"exception": "vk::DeviceLostError"},
    ),
    rule(
        "crash.exception", r"^terminate called without an active exception$",
        seen="C++ runtime", example="terminate called without an active exception",
    ),
    rule(
        "crash.reason", r"^what\(\): +(?P<error>.+)$",
        fields={"error": str},
        seen="C++ runtime", example="  what():  vk::Queue::submit: ErrorDeviceLost",
        gives={"error": "vk::Queue::submit: ErrorDeviceLost"},
    ),
    rule(
        "crash.signal", r"^free\(\): invalid (?P<error>.+)$",
        fields={"error": str},
        seen="C library", example="free(): invalid pointer",
        gives={"error": "pointer"},
    ),
    rule(
        "crash.signal", r"^double free or corruption \((?P<error>.+)\)$",
        fields={"error": str},
        seen="C library", example="double free or corruption (out)",
        gives={"error": "out"},
    ),
    rule(
        "crash.signal", r"^malloc\(\): (?P<error>[^(]{1,80}) \((?P<detail>.+)\)$",
        fields={"error": str, "detail": str},
        seen="C library", example="malloc(): invalid size (unsorted)",
        gives={"error": "invalid size", "detail": "unsorted"},
    ),
    rule(
        "gpu.hang",
        r"^(?P<signal>HW Exception by GPU node-\d+) \(Agent handle: 0x[0-9a-f]+\) reason ?: ?(?P<reason>.+)$",
        fields={"signal": str, "reason": str},
        seen="ROCm runtime", example="HW Exception by GPU node-1 (Agent handle: 0x48fa1f0) reason :GPU Hang",
        gives={"signal": "HW Exception by GPU node-1", "reason": "GPU Hang"},
    ),
    rule(
        "gpu.fault",
        r"^(?P<signal>Memory access fault by GPU node-\d+) \(Agent handle: 0x[0-9a-f]+\) on address"
        r" (?P<address>0x[0-9a-f]+|\(nil\))\. Reason: (?P<reason>.+?)\.?$",
        fields={"signal": str, "address": str, "reason": str},
        seen="ROCm runtime",
        example=(
            "Memory access fault by GPU node-1 (Agent handle: 0x7f50d8692b30) on address 0x7f3fa8f64000. "
            "Reason: Page not present or supervisor privilege."
        ),
        gives={
            "signal": "Memory access fault by GPU node-1", "address": "0x7f3fa8f64000",
            "reason": "Page not present or supervisor privilege",
        },
    ),
    rule(
        "gpu.hang",
        r"^:\d+:rocdevice\.cpp +:\d+: +\d+ us: +Callback: Queue (?P<queue>0x[0-9a-f]+) aborting with error"
        r" : (?P<signal>\w+): (?P<reason>.+)$",
        fields={"queue": str, "signal": str, "reason": str},
        seen="ROCm runtime",
        example=(
            ":0:rocdevice.cpp            :3580: 143267106124 us:  Callback: Queue 0x7f2f8a400000 aborting "
            "with error : HSA_STATUS_ERROR_EXCEPTION: An HSAIL operation resulted in a hardware exception. "
            "code: 0x1016"
        ),
        gives={
            "queue": "0x7f2f8a400000", "signal": "HSA_STATUS_ERROR_EXCEPTION",
            "reason": "An HSAIL operation resulted in a hardware exception. code: 0x1016",
        },
    ),
    rule(
        "gpu.device_lost", r"^radv/amdgpu: The CS has been (?P<what>cancelled|rejected).*$",
        fields={"what": str},
        seen="Mesa (RADV)",
        example="radv/amdgpu: The CS has been cancelled because the context is lost. This context is innocent.",
        gives={"what": "cancelled"},
    ),
    rule(
        "gpu.device_lost", r"^device (?:lost|fault) on (?P<device>[^,:]+)(?:, .+|: .+| waiting for .+)?$",
        fields={"device": str},
        seen="llama.cpp with Vulkan, 2026", example="ggml_vulkan: device lost on Vulkan0",
        gives={"device": "Vulkan0"},
    ),
)  # fmt: skip
