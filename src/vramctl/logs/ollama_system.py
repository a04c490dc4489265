"""What the system writes in the same journal as Ollama: memory ran out, a GPU fault, a reset, a lost GPU, the service."""

# ruff: noqa: E501
# fmt: off
from __future__ import annotations

from vramctl.logs.rule import Rule, rule
from vramctl.logs.values import size

RULES: tuple[Rule, ...] = (
    rule(
        "system.oom_kill", r"^(?:Out of memory|Memory cgroup out of memory): Killed process (?P<pid>\d+) \((?P<process>[^)]*)\) total-vm:\d+kB, anon-rss:(?P<resident>\d+kB),.*$",
        fields={"pid": int, "process": str, "resident": size},
        seen="Linux (journal, dmesg)",
        example="Out of memory: Killed process 12345 (ollama) total-vm:42518064kB, anon-rss:30718304kB, file-rss:128kB, shmem-rss:0kB, UID:998 pgtables:61044kB oom_score_adj:0",
        gives={"pid": 12345, "process": "ollama", "resident": size("30718304kB")},
    ),
    rule(
        "system.oom_invoked", r"^(?P<process>\S+) invoked oom-killer: .*$",
        fields={"process": str},
        seen="Linux (journal, dmesg)",
        example="ollama invoked oom-killer: gfp_mask=0x140cca(GFP_HIGHUSER_MOVABLE|__GFP_COMP), order=0, oom_score_adj=0",
        gives={"process": "ollama"},
    ),
    rule(
        "system.oom_kill", r"^(?P<unit>\S+): A process of this unit has been killed by the OOM killer\.$",
        fields={"unit": str},
        seen="systemd",
        example="ollama.service: A process of this unit has been killed by the OOM killer.",
        gives={"unit": "ollama.service"},
    ),
    rule(
        "system.unit_failed", r"^(?P<unit>\S+): Failed with result '(?P<result>[^']+)'\.$",
        fields={"unit": str, "result": str},
        seen="systemd",
        example="ollama.service: Failed with result 'oom-kill'.",
        gives={"unit": "ollama.service", "result": "oom-kill"},
    ),
    rule(
        "system.unit_exited", r"^(?P<unit>\S+): Main process exited, code=(?P<code>\w+), status=(?P<status>\S+)$",
        fields={"unit": str, "code": str, "status": str},
        seen="systemd",
        example="ollama.service: Main process exited, code=killed, status=9/KILL",
        gives={"unit": "ollama.service", "code": "killed", "status": "9/KILL"},
    ),
    rule(
        "system.xid", r"^Xid \((?P<pci>PCI:[^)]+)\): (?P<number>\d+), (?P<error>.*)$",
        fields={"pci": str, "number": int, "error": str},
        function="NVRM",
        seen="Linux (journal, dmesg)",
        example="NVRM: Xid (PCI:0000:01:00): 79, pid=1234, GPU has fallen off the bus.",
        gives={"pci": "PCI:0000:01:00", "number": 79, "error": "pid=1234, GPU has fallen off the bus."},
    ),
    rule(
        "system.gpu_lost", r"^GPU (?:at )?(?P<pci>(?:PCI:)?[0-9a-f:.]+): GPU has fallen off the bus\.$",
        fields={"pci": str},
        function="NVRM",
        seen="Linux (journal, dmesg)",
        example="NVRM: GPU 0000:01:00.0: GPU has fallen off the bus.",
        gives={"pci": "0000:01:00.0"},
    ),
    rule(
        "system.gpu_fault", r"^amdgpu (?P<pci>[0-9a-f:.]+): (?:amdgpu: )?\[(?P<hub>\w+)\] (?:no-retry )?page fault \(.*\)$",
        fields={"pci": str, "hub": str},
        seen="Linux (journal, dmesg)",
        example="amdgpu 0000:c4:00.0: amdgpu: [gfxhub] page fault (src_id:0 ring:24 vmid:8 pasid:32770)",
        gives={"pci": "0000:c4:00.0", "hub": "gfxhub"},
    ),
    rule(
        "system.gpu_reset", r"^amdgpu (?P<pci>[0-9a-f:.]+): (?:amdgpu: )?GPU reset ?(?P<what>begin!.*|\(\d+\) succeeded!|succeeded, trying to resume|end with ret = -?\d+)$",
        fields={"pci": str, "what": str},
        seen="Linux (journal, dmesg)",
        example="amdgpu 0000:c4:00.0: amdgpu: GPU reset begin!",
        gives={"pci": "0000:c4:00.0", "what": "begin!"},
    ),
    rule(
        "system.gpu_reset", r"^amdgpu (?P<pci>[0-9a-f:.]+): (?:amdgpu: )?(?P<mode>MODE\d|BACO) reset$",
        fields={"pci": str, "mode": str},
        seen="Linux (journal, dmesg)",
        example="amdgpu 0000:c4:00.0: amdgpu: MODE2 reset",
        gives={"pci": "0000:c4:00.0", "mode": "MODE2"},
    ),
    rule(
        "system.gpu_fault", r"^amdgpu (?P<pci>[0-9a-f:.]+): (?:amdgpu: )?ring (?P<ring>\S+) timeout, .*$",
        fields={"pci": str, "ring": str},
        seen="Linux (journal, dmesg)",
        example="amdgpu 0000:c4:00.0: amdgpu: ring gfx_0.0.0 timeout, signaled seq=18, emitted seq=20",
        gives={"pci": "0000:c4:00.0", "ring": "gfx_0.0.0"},
    ),
    rule(
        "system.gpu_fault", r"^amdgpu (?P<pci>[0-9a-f:.]+): (?:amdgpu: )?MES might be in unrecoverable state, issue a GPU reset$",
        fields={"pci": str},
        seen="Linux (journal, dmesg)",
        example="amdgpu 0000:c4:00.0: amdgpu: MES might be in unrecoverable state, issue a GPU reset",
        gives={"pci": "0000:c4:00.0"},
    ),
)
