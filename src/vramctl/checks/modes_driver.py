"""Failure modes and what to do about them: user-space driver and runtime libraries."""

from __future__ import annotations

from vramctl.checks.failure_modes import Mode


def _mode(name: str, title: str, **fixes: str) -> Mode:
    return Mode(name, title, tuple(fixes.items()))


_WINDOWS_LIBRARIES = (
    "Install the CUDA toolkit of the build's major version, or `pip install nvidia-cuda-runtime-cu12 nvidia-cublas-cu12` "
    "and call "
    "`os.add_dll_directory` with their bin folders before the import; for a llama.cpp zip unpack the cudart zip of the same "
    "release beside the program; for MSVCP140.dll and VCRUNTIME140.dll install the Visual C++ 2015-2022 redistributable."
)

MODES: tuple[Mode, ...] = (
    _mode("driver-library-version-mismatch", "Driver upgraded, kernel module still the old one",
          linux="Reboot. To keep it from happening again: `sudo apt-mark hold` the driver packages, or leave them out of "
                "unattended upgrades.",
          container="Reboot the host, then restart the container: it mounts the host's libraries."),
    _mode("cuda-compat-on-unsupported-gpu", "Forward-compatibility libcuda on a GPU that does not take it",
          linux="Take the compat folder out of LD_LIBRARY_PATH and /etc/ld.so.conf.d (then `sudo ldconfig`), or purge the "
                "cuda-compat package.",
          container="Use an image without the cuda-compat package, or update the host's driver so that it is not needed."),
    _mode("cuda13-windows-null-error", "Windows: \"failed to initialize CUDA: (null)\"",
          windows="Update the driver to branch 580 or later, or install a CUDA 12 build."),
    _mode("cuda-init-fails", "CUDA does not start",
          linux="Reboot first if the driver was updated or the machine slept; then `sudo modprobe nvidia_uvm` and look at "
                "`sudo dmesg | grep -i nvrm`.",
          windows="Reboot; if it stays, reinstall the driver (custom, clean installation).",
          container="Start the container with `--gpus all`; if it ran before, restart it (its devices may have been taken "
                    "away)."),
    _mode("libcuda-not-found-or-stub", "libcuda is missing, or only a stub is found",
          linux="Install the driver's compute package (Ubuntu: libnvidia-compute-<branch>); where libcuda.so.1 is there, "
                "`sudo ldconfig`.",
          container="Let the NVIDIA runtime mount the driver's libcuda (`--gpus all`, "
                    "NVIDIA_DRIVER_CAPABILITIES=compute,utility); "
                    "don't copy one into the image.",
          stub="Take the `stubs` folder out of LD_LIBRARY_PATH and /etc/ld.so.conf.d (then `sudo ldconfig`): it is for linking "
               "only.",
          here="`sudo ldconfig`; if it stays, put the folder of that file into LD_LIBRARY_PATH."),
    _mode("windows-cuda-dll-missing", "Windows: a DLL of the engine is not found", windows=_WINDOWS_LIBRARIES),
    _mode("windows-cuda13-bin-x64", "Windows: CUDA 13 keeps its DLLs in bin\\x64",
          windows="Add `%CUDA_PATH%\\bin\\x64` to PATH before Python starts, or call "
                  "`os.add_dll_directory(os.path.join(os.environ['CUDA_PATH'], 'bin', 'x64'))` before `import llama_cpp`."),
    _mode("cuda-path-dangling", "CUDA_PATH names a folder that is gone",
          windows="Correct or delete CUDA_PATH in the system's environment variables, and open a new terminal."),
    _mode("two-cuda-toolkits-conflict", "Two CUDA toolkits in the library search path",
          linux="Leave one of them in LD_LIBRARY_PATH: the one that the build was made with (or none, where the wheel "
                "brings its "
                "libraries).",
          windows="Put the toolkit that the build was made with first in PATH, or take the other one out.",
          container="Leave one of them in LD_LIBRARY_PATH: the one that the build was made with."),
    _mode("glibc-or-libstdcxx-too-old", "Built on a newer Linux",
          linux="Build it on this machine (`pip install --no-binary :all: --no-cache-dir <package>`), or use a newer "
                "distribution or "
                "container; where only libstdc++ is old in a conda environment: `conda install -c conda-forge libstdcxx-ng`.",
          container="Use a newer base image, or build the package inside this one."),
    _mode("ggml-cuda-init-failed", "The engine's CUDA backend could not start",
          any="Start it once with CUDA_LAUNCH_BLOCKING=1 and read the message; compare with `nvidia-smi`. If CUDA starts "
              "elsewhere on "
              "this machine, reinstall the engine."),
    _mode("engine-does-not-load", "The engine's library cannot be loaded",
          any="Reinstall the engine for this Python, system and processor; the message names what is missing."),
    _mode("engine-does-not-answer", "The engine crashes or hangs while it starts",
          any="Start it by hand to see its message; update the GPU driver and the engine; if it stays, report it with this "
              "evidence."),
)  # fmt: skip
