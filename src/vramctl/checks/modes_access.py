"""Failure modes and what to do about them: hardware, kernel driver, device access, AMD's and Intel's stacks."""

from __future__ import annotations

from vramctl.checks.failure_modes import Mode


def _mode(name: str, title: str, **fixes: str) -> Mode:
    return Mode(name, title, tuple(fixes.items()))


MODES: tuple[Mode, ...] = (
    _mode("gpu-init-failed-bar", "Driver cannot start the GPU",
          any="Switch on Above 4G Decoding and Resizable BAR in the firmware's setup, update the firmware, power the "
              "machine off and on. "
              "`sudo dmesg | grep NVRM` says what the driver met.",
          start="Power the machine off and on (a restart is not enough), check the card's power cables, update the driver "
                "and the "
                "firmware; `sudo dmesg | grep NVRM` says what the driver met.",
          vm="Give the virtual machine a larger 64-bit PCI window (QEMU: UEFI firmware and a q35 machine; `-fw_cfg "
             "name=opt/ovmf/X-PciMmio64Mb,string=65536` for large cards), or update the host."),
    _mode("ecc-pending", "Memory errors of the GPU, or a repair that waits",
          linux="Stop what runs on the GPU, then `sudo nvidia-smi -r` or reboot; `nvidia-smi -q -d ECC,ROW_REMAPPER` must "
                "then be clean. "
                "Where a remapping failed or errors come back, have the board replaced.",
          any="Reboot and look at `nvidia-smi -q -d ECC,ROW_REMAPPER`; where errors come back, have the board replaced.",
          container="On the host: stop what runs on the GPU, then `sudo nvidia-smi -r` or reboot."),
    _mode("legacy-gpu-dropped-by-driver", "Driver too new for the GPU",
          linux="Install branch BRANCH (Ubuntu: `sudo apt install nvidia-driver-BRANCH`; Arch: nvidia-BRANCHxx-dkms of the "
                "AUR) and "
                "keep it there.",
          windows="Install the last driver of branch BRANCH for this GPU and switch automatic driver updates off.",
          any="Install driver branch BRANCH."),
    _mode("open-kernel-module-required", "GPU needs the open kernel modules",
          linux="Install the open modules, branch 570 or later (Ubuntu: `sudo apt install nvidia-driver-580-open`; Arch: "
                "nvidia-open; "
                "runfile: `-M open`), then reboot.",
          any="Install NVIDIA's open kernel modules, branch 570 or later, and reboot."),
    _mode("open-kernel-module-unsupported", "GPU too old for the open kernel modules",
          linux="Install the proprietary modules (Ubuntu: `sudo apt install nvidia-driver-580`, without -open; Arch: "
                "nvidia-580xx-dkms of the AUR), then reboot.",
          any="Install NVIDIA's proprietary kernel modules, branch 580, and reboot."),
    _mode("kernel-module-not-loaded", "NVIDIA kernel module not loaded",
          linux="`sudo modprobe nvidia`, and look at what it says; then `nvidia-smi`.",
          kernel="Build it for this kernel: `sudo apt install linux-headers-$(uname -r) && sudo dkms autoinstall` (Fedora: "
                 "`sudo akmods --force`), then `sudo modprobe nvidia`; or boot the previous kernel.",
          secure_boot="Enrol the key that signs it (`sudo mokutil --import /var/lib/shim-signed/mok/MOK.der`, reboot and "
                      "confirm), take the "
                      "distribution's signed modules, or switch Secure Boot off.",
          nouveau="Keep nouveau out (`blacklist nouveau` and `options nouveau modeset=0` in /etc/modprobe.d, rebuild the "
                  "initramfs), "
                  "reboot; the NVIDIA packages do this when they are installed again.",
          blacklist="Take the line that blacklists nvidia out of /etc/modprobe.d (on laptops: `sudo prime-select "
                    "on-demand`), then reboot.",
          vfio="Give the card back to the host: take its id out of vfio-pci.ids on the kernel's command line and in "
               "/etc/modprobe.d, then "
               "reboot; or run the engine in the virtual machine that has it.",
          any="Load the NVIDIA kernel module."),
    _mode("fabric-manager-not-running", "Fabric manager does not run",
          linux="`sudo apt install nvidia-fabricmanager-<driver branch>` (of exactly the driver's version), then `sudo "
                "systemctl enable "
                "--now nvidia-fabricmanager`.",
          container="On the host: install nvidia-fabricmanager of exactly the driver's version and start it."),
    _mode("uvm-hmm-init-error", "CUDA error 3 from nvidia_uvm's HMM",
          linux="`echo 'options nvidia_uvm uvm_disable_hmm=1' | sudo tee /etc/modprobe.d/nvidia-uvm.conf`, rebuild the "
                "initramfs "
                "(`sudo update-initramfs -u`), reboot; or update the driver.",
          container="On the host: set uvm_disable_hmm=1 for nvidia_uvm in /etc/modprobe.d and reboot, or update the driver."),
    _mode("wsl-driver-problem", "WSL does not reach the GPU",
          wsl="Remove the Linux driver: `sudo apt purge 'libnvidia-compute-*' 'nvidia-driver-*' libcuda1`, keep only "
              "cuda-toolkit-*; then "
              "`wsl --shutdown` in Windows.",
          wsl1="Convert the distribution in Windows: `wsl --set-version <name> 2`.",
          dxg="In Windows: install the current GPU driver, `wsl --update`, `wsl --shutdown`, and start WSL again.",
          path="`echo /usr/lib/wsl/lib | sudo tee /etc/ld.so.conf.d/ld.wsl.conf && sudo ldconfig`, or put /usr/lib/wsl/lib "
               "into "
               "LD_LIBRARY_PATH.",
          update="In Windows: install the current NVIDIA driver, `wsl --update`, `wsl --shutdown`.",
          any="Install the driver on Windows only, and keep Linux driver packages out of WSL."),
    _mode("container-gpu-not-passed", "Container without a GPU",
          docker="Start it with `docker run --gpus all ...` (compose: deploy.resources.reservations.devices with driver "
                 "nvidia and "
                 "capabilities [gpu]).",
          podman="Start it with `podman run --device nvidia.com/gpu=all ...`.",
          kubernetes="Ask for one: resources.limits `nvidia.com/gpu: 1`, with NVIDIA's device plugin in the cluster.",
          any="Start the container with the host's GPU (`--gpus all`, `--device nvidia.com/gpu=all`, or nvidia.com/gpu: 1)."),
    _mode("container-driver-capabilities", "Container without CUDA's driver library",
          any="Start it with `-e NVIDIA_DRIVER_CAPABILITIES=compute,utility` (or take the line out of the image)."),
    _mode("container-cgroup-loss", "Container lost its GPUs while running",
          any="Restart the container. To keep it: use CDI (`sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml`, "
              "then `--device "
              "nvidia.com/gpu=all`), or \"exec-opts\": [\"native.cgroupdriver=cgroupfs\"] in /etc/docker/daemon.json."),
    _mode("container-toolkit-missing", "NVIDIA container toolkit not installed",
          linux="`sudo apt install nvidia-container-toolkit && sudo nvidia-ctk runtime configure --runtime=docker && sudo "
                "systemctl restart "
                "docker`, then start the container with `--gpus all`.",
          snap="Replace Docker of the snap store by that of the distribution or of Docker Inc., then install "
               "nvidia-container-toolkit.",
          windows="Use Docker Desktop with the WSL 2 backend and a current Windows driver.",
          any="Install nvidia-container-toolkit on the host."),
    _mode("nvidia-node-permissions", "No permission for the NVIDIA device files",
          linux="`sudo usermod -aG GROUP $USER` and log in again, or take NVreg_DeviceFileMode and NVreg_DeviceFileGID out of "
                "/etc/modprobe.d (the default is for everyone) and reboot.",
          container="Start the container as root or with `--group-add GROUP`."),
    _mode("nvidia-uvm-missing", "/dev/nvidia-uvm is missing",
          linux="`sudo nvidia-modprobe -u -c=0` (or `sudo modprobe nvidia_uvm`); `sudo systemctl enable --now "
                "nvidia-persistenced` keeps it.",
          container="Start the container through NVIDIA's runtime (`--gpus all`) or pass `--device /dev/nvidia-uvm --device "
                    "/dev/nvidia-uvm-tools` as well."),
    _mode("uvm-broken-after-suspend", "CUDA dead after sleep",
          linux="Stop what uses the GPU, `sudo rmmod nvidia_uvm && sudo modprobe nvidia_uvm`, restart the server (`sudo "
                "systemctl restart "
                "ollama`). For good: NVreg_PreserveVideoMemoryAllocations=1 and the services nvidia-suspend and nvidia-resume.",
          container="On the host: `sudo rmmod nvidia_uvm && sudo modprobe nvidia_uvm`, then restart the container."),
    _mode("driver-does-not-answer", "NVIDIA driver does not answer",
          any="Restart the machine; before that, `sudo dmesg | grep -i nvrm` and processes in state D (`ps axo "
              "pid,stat,comm | grep D`) may "
              "tell what it waits for. If it comes back, install another driver version.",
          container="Restart the container; if that does not help, restart the host."),
    _mode("mig-mode", "MIG splits the GPU",
          none="Make an instance (`sudo nvidia-smi mig -cgi 0 -C`), or switch MIG off (`sudo nvidia-smi -i 0 -mig 0`).",
          linux="`nvidia-smi -L` lists the instances; choose one with CUDA_VISIBLE_DEVICES=MIG-<uuid>. To have the whole GPU: "
                "`sudo nvidia-smi -mig 0` while it is idle.",
          any="Choose an instance with CUDA_VISIBLE_DEVICES=MIG-<uuid> (`nvidia-smi -L`)."),
    _mode("vgpu-compute-or-licence", "Virtual GPU without CUDA or licence",
          profile="Ask for a profile of the C or Q series.",
          licence="Configure the licence token of nvidia-gridd (`nvidia-smi -q | grep -i license` shows its state).",
          any="Ask for a profile of the C or Q series with a licence."),
    _mode("compute-mode-exclusive", "Compute mode lets no other program in",
          linux="`sudo nvidia-smi -c DEFAULT`.", windows="`nvidia-smi -c 0` as administrator.",
          container="On the host: `sudo nvidia-smi -c DEFAULT`."),
    _mode("wsl-memory-limit", "WSL has little memory",
          any="In Windows, in %UserProfile%\\.wslconfig: `[wsl2]`, `memory=48GB`, `swap=16GB` (what the machine can give), "
              "then "
              "`wsl --shutdown`."),
    _mode("amd-clocks-held", "AMD clocks set by hand",
          any="`echo auto | sudo tee /sys/class/drm/card*/device/power_dpm_force_performance_level`."),
    _mode("intel-oneapi-env", "Intel SYCL build without its runtime",
          linux="`source /opt/intel/oneapi/setvars.sh` in the shell (or unit) that starts the engine; install "
                "intel-level-zero-gpu "
                "or libze-intel-gpu1, and be in the group render.",
          windows="Start it from the oneAPI command prompt, or take the release that brings the runtime along.",
          any="Set up oneAPI's environment before the engine starts."),
    _mode("intel-arc-rebar-off", "Intel Arc without resizable BAR",
          any="Switch on Resizable BAR and Above 4G Decoding in the firmware's setup, and switch CSM off."),
)  # fmt: skip
