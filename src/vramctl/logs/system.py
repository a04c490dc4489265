"""What the system says about a GPU or a killed process, as it stands between an engine's lines in a journal.

Wordings: Linux mm/oom_kill.c (`Out of memory: Killed process`), systemd (`Failed with result`), NVIDIA's kernel module
(`NVRM: Xid`, `RmInitAdapter failed!`), amdgpu (`GPU reset begin`, `[gfxhub] page fault`), nvidia-smi, docker.
"""

# ruff: noqa: E501
# fmt: off
from __future__ import annotations

from vramctl.logs.rule import Rule, rule

# dmesg writes its time in front; in a journal it is gone, and NVRM is taken for the function. An empty alternative, not
# a `?`: so the dispatch sees both wordings with their words.
_TIME = r"^(?:\[[^\]]{1,40}\] |)"
_NVRM = r"^(?:\[[^\]]{1,40}\] NVRM: |NVRM: |)"
_AMDGPU = _TIME + r"amdgpu (?P<device>[0-9a-f:.]{1,20}): (?:amdgpu: |)"

RULES: tuple[Rule, ...] = (
    rule(
        "system.oom_kill", _TIME + r"(?:Memory cgroup out|Out) of memory: Killed process (?P<pid>\d+) \((?P<name>[^)]{1,64})\).{0,400}$",
        fields={"pid": int, "name": str},
        seen="Linux 4.19 on",
        example="Out of memory: Killed process 4711 (ollama) total-vm:41943040kB, anon-rss:31457280kB, file-rss:0kB",
        gives={"pid": 4711, "name": "ollama"},
    ),
    rule(
        "system.oom_invoked", _TIME + r"(?P<name>\S{1,40}) invoked oom-killer: .{0,300}$",
        fields={"name": str},
        seen="Linux",
        example="ollama invoked oom-killer: gfp_mask=0x140cca(GFP_HIGHUSER_MOVABLE|__GFP_COMP), order=0, oom_score_adj=0",
        gives={"name": "ollama"},
    ),
    rule(
        "system.oom_kill", r"^(?P<unit>\S{1,80}): A process of this unit has been killed by the OOM killer\.$",
        fields={"unit": str},
        seen="systemd",
        example="ollama.service: A process of this unit has been killed by the OOM killer.",
        gives={"unit": "ollama.service"},
    ),
    rule(
        "system.unit_failed", r"^(?P<unit>\S{1,80}): Failed with result '(?P<result>[^']{1,40})'\.$",
        fields={"unit": str, "result": str},
        seen="systemd",
        example="ollama.service: Failed with result 'oom-kill'.",
        gives={"unit": "ollama.service", "result": "oom-kill"},
    ),
    rule(
        "system.unit_exited", r"^(?P<unit>\S{1,80}): (?:Main|Control) process exited, code=(?P<code>\w+), status=(?P<status>\S+)$",
        fields={"unit": str, "code": str, "status": str},
        seen="systemd",
        example="ollama.service: Main process exited, code=killed, status=9/KILL",
        gives={"unit": "ollama.service", "code": "killed", "status": "9/KILL"},
    ),
    rule(
        "system.resumed", r"^(?:PM: )?suspend exit$",
        function="PM",
        seen="Linux",
        example="PM: suspend exit",
    ),
    rule(
        "system.resumed", r"^System returned from sleep (?:operation|state|state ')?.{0,40}$",
        seen="systemd 252 on",
        example="System returned from sleep operation 'suspend'.",
    ),
    rule(
        "system.xid", r"^\[[^\]]{1,40}\] NVRM: Xid \(PCI:(?P<device>[0-9A-Fa-f:.]{1,20})\): (?P<code>\d+),.{0,600}$",
        fields={"device": str, "code": int},
        seen="NVIDIA's kernel module, dmesg",
        example="[  123.456789] NVRM: Xid (PCI:0000:01:00): 79, pid=4711, GPU has fallen off the bus.",
        gives={"device": "0000:01:00", "code": 79},
    ),
    rule(
        "system.xid", r"^Xid \(PCI:(?P<device>[0-9A-Fa-f:.]{1,20})\): (?P<code>\d+),.{0,600}$",
        fields={"device": str, "code": int},
        function="NVRM",
        seen="NVIDIA's kernel module",
        example="NVRM: Xid (PCI:0000:01:00): 31, pid=4711, name=ollama, Ch 00000008, intr 00000000. MMU Fault",
        gives={"device": "0000:01:00", "code": 31},
    ),
    rule(
        "system.gpu_lost", _NVRM + r"GPU (?:at )?(?:PCI:)?(?P<device>[0-9A-Fa-f]{4,8}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}(?:\.\d)?):? GPU has fallen off the bus\.?$",
        fields={"device": str},
        seen="NVIDIA's kernel module",
        example="NVRM: GPU 0000:01:00.0: GPU has fallen off the bus.",
        gives={"device": "0000:01:00.0"},
    ),
    rule(
        "system.gpu_init_failed", _NVRM + r"(?:GPU (?P<device>[0-9A-Fa-f:.]{1,20}?):? |)(?:RmInitAdapter failed!|rm_init_adapter failed,) .{0,200}$",
        fields={"device": str},
        seen="NVIDIA's kernel module",
        example="NVRM: GPU 0000:01:00.0: RmInitAdapter failed! (0x26:0x56:1463)",
        gives={"device": "0000:01:00.0"},
    ),
    rule(
        "system.gpu_init_failed", _NVRM + r"This PCI I/O region assigned to your NVIDIA device is invalid:?$",
        seen="NVIDIA's kernel module",
        example="NVRM: This PCI I/O region assigned to your NVIDIA device is invalid:",
    ),
    rule(
        "system.gpu_legacy", _NVRM + r"(?:installed in this system is supported through the |)(?:NVRM: |)NVIDIA (?P<branch>\d[\w.]*) Legacy drivers\. Please visit.{0,300}$",
        fields={"branch": str},
        seen="NVIDIA's kernel module",
        example="NVRM: NVIDIA 580.xx Legacy drivers. Please visit",
        gives={"branch": "580.xx"},
    ),
    rule(
        "system.gpu_open_module", _NVRM + r"(?:.{0,120} |)requires use of the NVIDIA open kernel modules\.?$",
        seen="NVIDIA's kernel module 570 on",
        example="NVRM: installed in this system requires use of the NVIDIA open kernel modules.",
    ),
    rule(
        "system.driver_mismatch", _NVRM + r"API mismatch: the client has the version (?P<client>[\d.]+?), but.{0,100}$",
        fields={"client": str},
        seen="NVIDIA's kernel module",
        example="NVRM: API mismatch: the client has the version 535.113.01, but",
        gives={"client": "535.113.01"},
    ),
    rule(
        "system.nvml_failed", r"^Failed to initialize NVML: (?P<error>.{1,200})$",
        fields={"error": str},
        seen="nvidia-smi",
        example="Failed to initialize NVML: Driver/library version mismatch",
        gives={"error": "Driver/library version mismatch"},
    ),
    rule(
        "system.nvml_failed", r"^NVIDIA-SMI has failed because (?P<error>it couldn't communicate with the NVIDIA driver)\..{0,200}$",
        fields={"error": str},
        seen="nvidia-smi",
        example="NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest NVIDIA driver is installed and running.",
        gives={"error": "it couldn't communicate with the NVIDIA driver"},
    ),
    rule(
        "system.container_no_driver", r"^(?:WARNING: )?The NVIDIA Driver was not detected\. +GPU functionality will not be available\.$",
        seen="NVIDIA's container images",
        example="WARNING: The NVIDIA Driver was not detected.  GPU functionality will not be available.",
    ),
    rule(
        "system.container_no_runtime", r'^(?:docker: )?(?:Error response from daemon: )?could not select device driver "(?:nvidia)?" with capabilities: \[\[.{0,40}\]\]\.?$',
        seen="docker",
        example='docker: Error response from daemon: could not select device driver "" with capabilities: [[gpu]].',
    ),
    rule(
        "system.gpu_reset", _AMDGPU + r"GPU reset(?: begin|\(\d+\) | succeeded| end ).{0,200}$",
        fields={"device": str},
        seen="amdgpu, Linux 5.x on",
        example="amdgpu 0000:c5:00.0: amdgpu: GPU reset begin!",
        gives={"device": "0000:c5:00.0"},
    ),
    rule(
        "system.gpu_reset", _AMDGPU + r"(?P<mode>MODE\d|BACO) reset$",
        fields={"device": str, "mode": str},
        seen="amdgpu, Linux 5.x on",
        example="amdgpu 0000:c4:00.0: amdgpu: MODE2 reset",
        gives={"device": "0000:c4:00.0", "mode": "MODE2"},
    ),
    rule(
        "system.gpu_fault", _AMDGPU + r"\[(?:gfx|mm)hub\d?\] (?:no-retry |retry )?page fault.{0,300}$",
        fields={"device": str},
        seen="amdgpu, Linux 5.x on",
        example="amdgpu 0000:c5:00.0: amdgpu: [gfxhub] page fault (src_id:0 ring:153 vmid:8 pasid:32777)",
        gives={"device": "0000:c5:00.0"},
    ),
    rule(
        "system.gpu_hang", _AMDGPU + r"ring (?P<ring>\S{1,40}) timeout.{0,200}$",
        fields={"device": str, "ring": str},
        seen="amdgpu, Linux 6.x",
        example="amdgpu 0000:c4:00.0: amdgpu: ring gfx_0.0.0 timeout, signaled seq=18, emitted seq=20",
        gives={"device": "0000:c4:00.0", "ring": "gfx_0.0.0"},
    ),
    rule(
        "system.gpu_hang", _TIME + r"\[drm:amdgpu_job_timedout(?: \[amdgpu\])?\] \*ERROR\* ring (?P<ring>\S{1,40}) timeout.{0,200}$",
        fields={"ring": str},
        seen="amdgpu, Linux 4.x-6.x",
        example="[drm:amdgpu_job_timedout [amdgpu]] *ERROR* ring gfx_0.0.0 timeout, signaled seq=18, emitted seq=20",
        gives={"ring": "gfx_0.0.0"},
    ),
    rule(
        "system.gpu_hang", _AMDGPU + r"MES might be in unrecoverable state, issue a GPU reset$",
        fields={"device": str},
        seen="amdgpu, Linux 6.x",
        example="amdgpu 0000:c4:00.0: amdgpu: MES might be in unrecoverable state, issue a GPU reset",
        gives={"device": "0000:c4:00.0"},
    ),
    rule(
        "system.gpu_hang", _TIME + r"i915 (?P<device>[0-9a-f:.]{1,20}): \[drm\] GPU HANG: .{0,200}$",
        fields={"device": str},
        seen="i915, Linux 5.x on",
        example="i915 0000:03:00.0: [drm] GPU HANG: ecode 12:1:85dcfffb, in llama-server [4711]",
        gives={"device": "0000:03:00.0"},
    ),
)
