"""What loaders, shells, Python and build tools say when an engine cannot start or was ended from outside."""

# ruff: noqa: E501
# fmt: off
from __future__ import annotations

from vramctl.logs.rule import Rule, rule
from vramctl.logs.values import size

RULES: tuple[Rule, ...] = (
    rule(
        "crash.library_missing", r"^(?P<library>[^\s:]+\.so[.\d]*): (?P<error>cannot open shared object file: .+)$",
        fields={"library": str, "error": str},
        function=("OSError", "ImportError"),
        seen="Python on Linux",
        example="OSError: libcudart.so.12: cannot open shared object file: No such file or directory",
        gives={"library": "libcudart.so.12", "error": "cannot open shared object file: No such file or directory"},
    ),
    rule(
        "crash.library_too_old", r"^(?:.{1,300}: |)version [`'](?P<version>(?:GLIBC|GLIBCXX|CXXABI)_[\d.]+)' not found \(required by (?P<library>.+)\)$",
        fields={"version": str, "library": str},
        seen="Linux loader",
        example="./llama-server: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.38' not found (required by ./llama-server)",
        gives={"version": "GLIBC_2.38", "library": "./llama-server"},
    ),
    rule(
        "crash.dll_missing", r"^Could not find module '(?P<path>[^']+)' \(or one of its dependencies\)\. .*$",
        fields={"path": str},
        seen="Python on Windows",
        example=r"FileNotFoundError: Could not find module 'C:\venv\llama_cpp\lib\llama.dll' (or one of its dependencies). Try using the full path with constructor syntax.",
        gives={"path": r"C:\venv\llama_cpp\lib\llama.dll"},
    ),
    rule(
        "crash.wrong_architecture", r"^.{0,400}\(mach-o file, but is an incompatible architecture \(have '(?P<has>\w+)', need '(?P<wants>\w+)'\)\).{0,400}$",
        fields={"has": str, "wants": str},
        seen="macOS loader",
        example="OSError: dlopen(/v/libllama.dylib, 0x0006): tried: '/v/libllama.dylib' (mach-o file, but is an incompatible architecture (have 'x86_64', need 'arm64'))",
        gives={"has": "x86_64", "wants": "arm64"},
    ),
    rule(
        "crash.signal", r"^(?P<signal>\[WinError -?\d+\] Windows Error 0x[0-9a-fA-F]+)$",
        fields={"signal": str},
        seen="Python on Windows",
        example="OSError: [WinError -1073741795] Windows Error 0xc000001d",
        gives={"signal": "[WinError -1073741795] Windows Error 0xc000001d"},
    ),
    rule(
        "crash.signal", r"^\S{1,200}: line \d+: +(?P<pid>\d+) (?P<signal>Killed|Segmentation fault|Illegal instruction|Bus error|Aborted) .{0,400}$",
        fields={"pid": int, "signal": str},
        seen="bash, behind a script",
        example="./run.sh: line 12:  4711 Killed                  ./llama-server -m a.gguf",
        gives={"pid": 4711, "signal": "Killed"},
    ),
    rule(
        "crash.signal", r"^(?P<signal>killed|segmentation fault|illegal hardware instruction|bus error|abort) .{0,400}$",
        fields={"signal": str},
        function="zsh",
        seen="zsh on macOS",
        example="zsh: illegal hardware instruction  ./llama-cli -m a.gguf",
        gives={"signal": "illegal hardware instruction"},
    ),
    rule(
        "crash.signal", r"^\[\d+\] +(?P<pid>\d+) (?P<signal>killed|illegal hardware instruction|bus error) .{0,400}$",
        fields={"pid": int, "signal": str},
        seen="zsh",
        example="[1]    3804384 killed     ./llama-cli -m a.gguf",
        gives={"pid": 3804384, "signal": "killed"},
    ),
    rule(
        "server.panic", r"^(?P<what>.{1,600})$",
        fields={"what": str},
        function="panic",
        seen="Go programs: Ollama's server and, from 0.3.13 on, its runner",
        example="panic: insufficient memory - required allocations: {InputWeights:525336576A CPU:{Name:CPU}}",
        gives={"what": "insufficient memory - required allocations: {InputWeights:525336576A CPU:{Name:CPU}}"},
    ),
    rule(
        "crash.signal", r"^(?P<signal>segmentation violation|abort|illegal instruction|bus error)$",
        fields={"signal": str},
        function=("SIGSEGV", "SIGABRT", "SIGILL", "SIGBUS"),
        seen="Go's runtime, in Ollama's runner",
        example="SIGSEGV: segmentation violation",
        gives={"signal": "segmentation violation"},
    ),
    rule(
        "gpu.library_failed", r"^(?P<call>cu[A-Z]\w+|cudart\w*|nvml\w+) err: (?P<code>\d+)$",
        fields={"call": str, "code": int},
        seen="ollama 0.1.33-0.12.3 with OLLAMA_DEBUG=1",
        example="cuInit err: 999",
        gives={"call": "cuInit", "code": 999},
    ),
    rule(
        "memory.alloc_failed", r"^can't malloc (?P<size>\d+) Bytes memory on device\.?$",
        fields={"size": size},
        seen="llama.cpp with SYCL",
        example="ggml_backend_sycl_buffer_type_alloc_buffer: can't malloc 4294967296 Bytes memory on device",
        gives={"size": size("4294967296")},
    ),
    rule(
        "gpu.amd_no_permission", r"^Unable to open /dev/kfd read-write: (?P<error>.+)$",
        fields={"error": str},
        seen="ROCm",
        example="Unable to open /dev/kfd read-write: Permission denied",
        gives={"error": "Permission denied"},
    ),
    rule(
        "gpu.rocblas_missing", r"^rocBLAS error: Cannot read (?P<path>.+?): .{1,80} for GPU arch ?: (?P<gfx>gfx\w+)$",
        fields={"path": str, "gfx": str},
        seen="ROCm",
        example="rocBLAS error: Cannot read /opt/rocm/lib/rocblas/library/TensileLibrary.dat: Illegal seek for GPU arch : gfx1031",
        gives={"path": "/opt/rocm/lib/rocblas/library/TensileLibrary.dat", "gfx": "gfx1031"},
    ),
    rule(
        "gpu.rocblas_missing", r'^(?:"?hipErrorNoBinaryForGpu: |)Unable to find code object for all current devices!"?$',
        seen="ROCm",
        example="hipErrorNoBinaryForGpu: Unable to find code object for all current devices!",
    ),
    rule(
        "gpu.sycl_no_device", r"^.{0,200}No device of requested type available.{0,300}$",
        seen="oneAPI",
        example="No device of requested type available. Please check https://software.intel.com/",
    ),
    rule(
        "extension.no_name", r"^name '(?P<module>exllamav[23]_ext)' is not defined$",
        fields={"module": str},
        function="NameError",
        seen="exllamav2 0.1-0.3",
        example="NameError: name 'exllamav2_ext' is not defined",
        gives={"module": "exllamav2_ext"},
    ),
    rule(
        "extension.no_compiler", r"^(?:!! |)Unable to find cl\.exe; compilation will probably fail$",
        seen="exllamav2 on Windows",
        example=" !! Unable to find cl.exe; compilation will probably fail",
    ),
    rule(
        "extension.no_compiler", r"^.{0,300}fatal error C1189: .{0,60}unsupported Microsoft Visual Studio version.{0,300}$",
        seen="CUDA on Windows",
        example=r"C:\CUDA\include\crt/host_config.h(157): fatal error C1189: #error:  -- unsupported Microsoft Visual Studio version! Only the versions between 2017 and 2022 (inclusive) are supported!",
    ),
    rule(
        "extension.no_compiler", r"^.{0,300}No CUDA toolset found\.?$",
        seen="CMake on Windows",
        example="  No CUDA toolset found.",
    ),
    rule(
        "extension.no_toolkit", r"^CUDA_HOME environment variable is not set(?:\..{0,200}|)$",
        seen="torch", example="OSError: CUDA_HOME environment variable is not set. Please set it to your CUDA install root.",
    ),
    rule(
        "extension.no_toolkit", r"^(?:RuntimeError: |)Ninja is required to load C\+\+ extensions.{0,100}$",
        seen="torch", example="RuntimeError: Ninja is required to load C++ extensions (pip install ninja to get it)",
    ),
    rule(
        "extension.build_failed", r"^(?:subprocess\.CalledProcessError: |)Command '\['ninja', .{0,100}\]' returned non-zero exit status (?P<status>\d+)\.$",
        fields={"status": int},
        seen="torch", example="subprocess.CalledProcessError: Command '['ninja', '-v']' returned non-zero exit status 1.",
        gives={"status": 1},
    ),
    rule(
        "extension.toolkit_mismatch", r"^(?:RuntimeError: |)The detected CUDA version \((?P<toolkit>[\d.]+)\) mismatches the version that was used to compile PyTorch \((?P<torch>[\d.]+)\)\..{0,200}$",
        fields={"toolkit": str, "torch": str},
        seen="torch",
        example="RuntimeError: The detected CUDA version (11.8) mismatches the version that was used to compile PyTorch (12.1). Please make sure to use the same CUDA versions.",
        gives={"toolkit": "11.8", "torch": "12.1"},
    ),
    rule(
        "flash.gpu_too_old", r"^(?:RuntimeError: |)FlashAttention only supports Ampere GPUs or newer\.$",
        seen="flash-attn 2", example="RuntimeError: FlashAttention only supports Ampere GPUs or newer.",
    ),
)
