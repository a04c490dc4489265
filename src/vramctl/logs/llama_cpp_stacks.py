"""What is printed of the stack when llama.cpp crashes, by gdb mostly."""

from __future__ import annotations

from vramctl.logs.rule import Rule, rule

RULES: tuple[Rule, ...] = (
    rule(
        "stack.frame",
        r"^#(?P<index>\d+) ++(?:(?P<address>0x[0-9a-f]+) in )?+(?P<symbol>\S.*) from (?P<library>\S+)$",
        fields={"index": int, "address": str, "symbol": str, "library": str},
        seen="gdb, called by ggml_abort",
        example="#4  0x00007fa9f781a608 in ggml_abort () from /home/user/src/ik_llama.cpp/build/ggml/src/libggml.so",
        gives={
            "index": 4, "address": "0x00007fa9f781a608", "symbol": "ggml_abort ()",
            "library": "/home/user/src/ik_llama.cpp/build/ggml/src/libggml.so",
        },
    ),
    rule(
        "stack.frame", r"^#(?P<index>\d+) ++(?:(?P<address>0x[0-9a-f]+) in )?+(?P<symbol>\S.*) at (?P<file>\S+)$",
        fields={"index": int, "address": str, "symbol": str, "file": str},
        seen="gdb, called by ggml_abort",
        example=(
            "#0  0x0000754c8e2ea42f in __GI___wait4 (pid=1623667, stat_loc=0x7ffe736cd754, options=0, "
            "usage=0x0) at ../sysdeps/unix/sysv/linux/wait4.c:30"
        ),
        gives={
            "index": 0, "address": "0x0000754c8e2ea42f",
            "symbol": "__GI___wait4 (pid=1623667, stat_loc=0x7ffe736cd754, options=0, usage=0x0)",
            "file": "../sysdeps/unix/sysv/linux/wait4.c:30",
        },
    ),
    rule(
        "stack.frame", r"^#(?P<index>\d+) +(?P<address>0x[0-9a-f]+) in (?P<symbol>(?:(?! from | at ).)+)$",
        fields={"index": int, "address": str, "symbol": str},
        seen="gdb, called by ggml_abort", example="#10 0x000000000049a2d4 in server_context::update_slots() ()",
        gives={"index": 10, "address": "0x000000000049a2d4", "symbol": "server_context::update_slots() ()"},
    ),
    rule(
        "stack.debugger", r"^\[New (?P<what>LWP|Thread) (?P<number>.+)\]$",
        fields={"what": str, "number": str},
        seen="gdb, called by ggml_abort", example="[New LWP 1623633]",
        gives={"what": "LWP", "number": "1623633"},
    ),
    rule(
        "stack.debugger", r"^\[Thread debugging using libthread_db enabled\]$",
        seen="gdb, called by ggml_abort", example="[Thread debugging using libthread_db enabled]",
    ),
    rule(
        "stack.debugger", r"^\[Inferior \d+ \(process (?P<pid>\d+)\) detached\]$",
        fields={"pid": int},
        seen="gdb, called by ggml_abort", example="[Inferior 1 (process 1623632) detached]",
        gives={"pid": 1623632},
    ),
    rule(
        "stack.debugger", r'^Using host libthread_db library "(?P<path>.+)"\.$',
        fields={"path": str},
        seen="gdb, called by ggml_abort",
        example='Using host libthread_db library "/lib/x86_64-linux-gnu/libthread_db.so.1".',
        gives={"path": "/lib/x86_64-linux-gnu/libthread_db.so.1"},
    ),
    rule(
        "stack.none", r"^No stack\.$",
        seen="gdb, called by ggml_abort", example="No stack.",
    ),
    rule(
        "stack.none", r"^The program is not being run\.$",
        seen="gdb, called by ggml_abort", example="The program is not being run.",
    ),
    rule(
        "stack.none", r"^Operation not permitted\.$",
        function="ptrace",
        seen="gdb, called by ggml_abort", example="ptrace: Operation not permitted.",
    ),
    rule(
        "stack.none", r"^Could not attach to process\. +If your uid matches the uid of the target$",
        seen="gdb, called by ggml_abort",
        example="Could not attach to process.  If your uid matches the uid of the target",
    ),
    rule(
        "stack.none", r"^process, check the setting of /proc/sys/kernel/yama/ptrace_scope, or try$",
        seen="gdb, called by ggml_abort",
        example="process, check the setting of /proc/sys/kernel/yama/ptrace_scope, or try",
    ),
    rule(
        "stack.none", r"^again as the root user\. +For more details, see (?P<file>\S+)$",
        fields={"file": str},
        seen="gdb, called by ggml_abort",
        example="again as the root user.  For more details, see /etc/sysctl.d/10-ptrace.conf",
        gives={"file": "/etc/sysctl.d/10-ptrace.conf"},
    ),
    rule(
        "stack.none", r"^process (?P<pid>\d+) is already traced by process (?P<by>\d+)$",
        fields={"pid": int, "by": int},
        seen="gdb, called by ggml_abort", example="warning: process 16676 is already traced by process 16727",
        gives={"pid": 16676, "by": 16727},
    ),
    rule(
        "stack.debugger", r"^(?P<address>0x[0-9a-f]+) in (?P<symbol>.+?)(?: (?:from|at) (?P<where>\S+))?$",
        fields={"address": str, "symbol": str, "where": str},
        seen="gdb, called by ggml_abort",
        example="0x00007fd73d0876c2 in __syscall_cancel_arch () from /lib64/libc.so.6",
        gives={"address": "0x00007fd73d0876c2", "symbol": "__syscall_cancel_arch ()", "where": "/lib64/libc.so.6"},
    ),
    rule(
        "stack.debugger", r"^This GDB supports auto-downloading debuginfo from the following URLs:$",
        seen="gdb, called by ggml_abort",
        example="This GDB supports auto-downloading debuginfo from the following URLs:",
    ),
    rule(
        "stack.debugger", r"^Debuginfod has been disabled\.$",
        seen="gdb, called by ggml_abort", example="Debuginfod has been disabled.",
    ),
    rule(
        "stack.debugger", r"^To make this setting permanent, .+$",
        seen="gdb, called by ggml_abort",
        example="To make this setting permanent, add 'set debuginfod enabled off' to .gdbinit.",
    ),
    rule(
        "stack.debugger", r"^Enable debuginfod for this session\? .+$",
        seen="gdb, called by ggml_abort",
        example="Enable debuginfod for this session? (y or [n]) [answered N; input not from terminal]",
    ),
    rule(
        "stack.debugger", r"^Function\(s\) .+ will be skipped when stepping\.$",
        seen="gdb, called by ggml_abort",
        example="Function(s) ^std::(move|forward|as_const|(__)?addressof) will be skipped when stepping.",
    ),
    rule(
        "stack.debugger", r"^\d+ +in \.\./sysdeps/.+$",
        seen="gdb, called by ggml_abort", example="30      in ../sysdeps/unix/sysv/linux/wait4.c",
    ),
    rule(
        "stack.debugger", r"^\d+ +\.\./sysdeps/\S+: No such file or directory\.$",
        seen="gdb, called by ggml_abort",
        example="30      ../sysdeps/unix/sysv/linux/wait4.c: No such file or directory.",
    ),
)  # fmt: skip
