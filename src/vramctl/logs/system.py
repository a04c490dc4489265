"""What the kernel says about a GPU or a killed process, as it stands between an engine's lines in a journal.

Wordings: Linux mm/oom_kill.c (`Out of memory: Killed process`), NVIDIA's kernel module (`NVRM: Xid`,
`NVRM: GPU ... has fallen off the bus`), amdgpu (`GPU reset begin`, `[gfxhub] page fault`).
"""

from __future__ import annotations

from vramctl.logs.rule import Rule, rule

RULES: tuple[Rule, ...] = (
    rule(
        "system.oom_kill",
        r"^(?:\[ *[\d.]+\] )?(?:Memory cgroup out|Out) of memory: Killed process (?P<pid>\d+) \((?P<name>[^)]{1,64})\).{0,400}$",
        fields={"pid": int, "name": str},
        seen="Linux 4.19 on",
        example="Out of memory: Killed process 4711 (ollama) total-vm:41943040kB, anon-rss:31457280kB, file-rss:0kB",
        gives={"pid": 4711, "name": "ollama"},
    ),
    rule(
        "system.xid",
        r"^Xid \(PCI:(?P<device>[0-9A-Fa-f:.]{1,20})\): (?P<code>\d+),.{0,600}$",
        fields={"device": str, "code": int},
        function="NVRM",
        seen="NVIDIA's kernel module",
        example="NVRM: Xid (PCI:0000:01:00): 31, pid=4711, name=ollama, Ch 00000008, intr 00000000. MMU Fault",
        gives={"device": "0000:01:00", "code": 31},
    ),
    rule(
        "system.gpu_lost",
        r"^GPU (?P<device>[0-9A-Fa-f]{4,8}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}(?:\.\d)?):? GPU has fallen off the bus\.?$",
        fields={"device": str},
        function="NVRM",
        seen="NVIDIA's kernel module",
        example="NVRM: GPU 0000:01:00.0: GPU has fallen off the bus.",
        gives={"device": "0000:01:00.0"},
    ),
    rule(
        "system.gpu_reset",
        r"^(?:\[ *[\d.]+\] )?amdgpu (?P<device>[0-9a-f:.]{1,20}): (?:amdgpu: )?GPU reset begin!?.{0,200}$",
        fields={"device": str},
        seen="amdgpu, Linux 5.x on",
        example="amdgpu 0000:c5:00.0: amdgpu: GPU reset begin!",
        gives={"device": "0000:c5:00.0"},
    ),
    rule(
        "system.gpu_fault",
        r"^(?:\[ *[\d.]+\] )?amdgpu (?P<device>[0-9a-f:.]{1,20}): (?:amdgpu: )?\[gfxhub0?\] page fault.{0,300}$",
        fields={"device": str},
        seen="amdgpu, Linux 5.x on",
        example="amdgpu 0000:c5:00.0: amdgpu: [gfxhub] page fault (src_id:0 ring:153 vmid:8 pasid:32777)",
        gives={"device": "0000:c5:00.0"},
    ),
)
