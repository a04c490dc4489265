"""Failure modes and what to do about them: the host."""

from __future__ import annotations

from vramctl.checks.failure_modes import Mode


def _mode(name: str, title: str, **fixes: str) -> Mode:
    return Mode(name, title, tuple(fixes.items()))


MODES: tuple[Mode, ...] = (
    _mode("cpu-build-without-avx2", "CPU code built without AVX2",
          any="Build it on this machine: `CMAKE_ARGS='-DGGML_NATIVE=on' pip install --no-cache-dir --force-reinstall "
              "--no-binary "
              "llama-cpp-python llama-cpp-python` (add the GPU backend's option); in a virtual machine set the CPU type to "
              "host."),
    _mode("cpu-quota-container", "CPU quota smaller than the threads",
          linux="Set the threads to the quota (`-t CORES`, n_threads=CORES), or raise CPUQuota of the unit.",
          container="Set the threads to the quota (`-t CORES`, n_threads=CORES), or raise `--cpus`."),
    _mode("numa-placement", "Memory moves between nodes",
          linux="`sudo sysctl kernel.numa_balancing=0`, drop the page cache, then start llama.cpp with `--numa distribute` "
                "(or under "
                "`numactl` with `--numa numactl`)."),
    _mode("hugepages-reserved-for-nothing", "Huge pages reserved for nothing",
          linux="`sudo sysctl vm.nr_hugepages=0` and take it out of /etc/sysctl.d, unless a database or a virtual machine "
                "needs them."),
    _mode("swap-or-cache-eviction", "Model in swap, or memory short",
          linux="Take a smaller model or context, or more memory; for the CPU's part `--mlock`. Leave vm.swappiness at its "
                "default with mmap.",
          any="Take a smaller model or context, or more memory."),
)  # fmt: skip
