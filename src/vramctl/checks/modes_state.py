"""Failure modes and what to do about them: the GPU's state."""

from __future__ import annotations

from vramctl.checks.failure_modes import Mode


def _mode(name: str, title: str, **fixes: str) -> Mode:
    return Mode(name, title, tuple(fixes.items()))


MODES: tuple[Mode, ...] = (
    _mode("power-cap", "Power limit lowered",
          linux="`sudo nvidia-smi -i INDEX -pl WATTS`, unless somebody wanted it.",
          windows="`nvidia-smi -i INDEX -pl WATTS` as administrator; set the vendor's tool to its default profile.",
          any="`nvidia-smi -i INDEX -pl WATTS` as root."),
    _mode("thermal-throttle", "GPU slowed down by heat or power",
          any="Clean and direct the cooling air, raise the fan curve; a lower power limit (`nvidia-smi -pl`) often costs "
              "generation nothing. "
              "With a power brake look at the power supply and its cables."),
    _mode("pstate-stuck", "Clocks stuck",
          linux="`sudo nvidia-smi -rgc && sudo nvidia-smi -rmc`.",
          windows="`nvidia-smi -rgc` and `nvidia-smi -rmc` as administrator; NVIDIA control panel: power management mode "
                  "\"prefer maximum "
                  "performance\".",
          any="`nvidia-smi -rgc` and `nvidia-smi -rmc` as root."),
    _mode("persistence-mode-off", "Persistence mode off",
          linux="`sudo systemctl enable --now nvidia-persistenced` (or `sudo nvidia-smi -pm 1` until the next start)."),
    _mode("on-battery-or-undersized-power", "On battery or weak adapter",
          linux="Plug in the machine's own adapter, choose the performance profile; `sudo systemctl enable --now "
                "nvidia-powerd` lets the GPU "
                "use more where the laptop can.",
          any="Plug in the machine's own adapter and choose the performance profile."),
    _mode("no-tensor-cores", "GPU without tensor cores",
          any="A limit of the hardware. A build with `-DCMAKE_CUDA_ARCHITECTURES=\"61-virtual;80-virtual\" "
              "-DGGML_CUDA_FORCE_MMQ=ON` may be "
              "faster on it."),
    _mode("uma-memory-not-reported", "GPU shares the system's memory",
          any="Nothing to do; read free memory with `free -h`."),
)  # fmt: skip
