"""The kernel's modules and the device files of GPUs."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vramctl.formats.nvidia_proc import parse_driver_version, parse_params, version_numbers
from vramctl.records.facts import DeviceNode, KernelModules, Platform
from vramctl.records.unknown import Absent, Unknown
from vramctl.world.machine import World
from vramctl.world.programs import Ran, run_program

# Modules that say something here, as modules.dep and /proc/modules write them (Debian's nvidia-current is nvidia).
_TELLING = re.compile(
    r"^(?:nvidia(?:[-_](?:current|tesla|legacy|open|uvm|drm|modeset|peermem).*)?|nouveau|amdgpu|amdkfd|i915|xe|vfio[-_]pci)$"
)
_MODULES_LIMIT = 16 << 20
_MODPROBE = ("/etc/modprobe.d", "/run/modprobe.d", "/usr/lib/modprobe.d", "/lib/modprobe.d")
_SECURE_BOOT = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
_PARAMETERS = ("nvidia_uvm.uvm_disable_hmm", "nvidia_drm.modeset")
_VERSIONED = ("amdgpu", "nvidia", "nvidia_uvm", "nouveau")
_NODE = re.compile(r"^(?:nvidia\d+|nvidiactl|nvidia-uvm(?:-tools)?|nvidia-modeset|kfd|dxg|nvmap|nvgpu)$")
_RENDER = re.compile(r"^(?:renderD|card)\d+$")
# Opening these starts no GPU; opening /dev/nvidia0 would.
_TRIED = re.compile(r"^/dev/(?:nvidiactl|nvidia-uvm|kfd|dxg|dri/renderD\d+)$")
_OPEN_SECONDS = 5.0
_OPENER = """
import errno, json, os, sys
told = {}
for path in sys.argv[1:]:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
        told[path] = ""
    except OSError as error:
        told[path] = errno.errorcode.get(error.errno, str(error.errno))
print(json.dumps(told))
"""


def look_modules(world: World, asked: Any, facts: Any) -> KernelModules | Unknown | Absent:
    """Loaded modules, NVIDIA's version and flavour, what is built for this kernel, what is kept out."""
    platform = facts.fact("platform")
    if isinstance(platform, Platform) and platform.system != "linux":
        return Absent("only Linux has kernel modules that can be listed")
    version, is_open = _nvidia(world)
    log = facts.fact("kernel_log")
    release = platform.release if isinstance(platform, Platform) else Unknown("the kernel's release is not known")
    return KernelModules(
        loaded=_loaded(world),
        nvidia_version=version,
        nvidia_open=is_open,
        available=_available(world, release),
        blacklisted=_blacklisted(world),
        secure_boot=_secure_boot(world),
        parameters=_parameters(world),
        versions=_versions(world),
        log=log if isinstance(log, tuple) else Unknown(getattr(log, "reason", "the kernel's log was not read")),
    )


def look_nodes(world: World, asked: Any, facts: Any) -> Mapping[str, DeviceNode] | Unknown | Absent:
    """Device files of GPUs by path; of those that start nothing, whether they can be opened."""
    platform = facts.fact("platform")
    if isinstance(platform, Platform) and platform.system != "linux":
        return Absent("only Linux has device files")
    names = world.names("/dev")
    if not isinstance(names, tuple):
        return Unknown(f"/dev: {names.reason}")
    render = world.names("/dev/dri")
    paths = [f"/dev/{name}" for name in names if _NODE.match(name)]
    paths += [f"/dev/dri/{name}" for name in render if _RENDER.match(name)] if isinstance(render, tuple) else []
    tried = [path for path in paths if _TRIED.match(path)]
    opened = world.ask("open nodes", lambda: _open(tried)) if tried else {}
    nodes = {}
    for path in paths:
        found = world.status(path)
        if isinstance(found, Mapping) and found.get("kind") == "char":
            nodes[path] = DeviceNode(
                path=path, mode=_whole(found.get("mode")), owner=str(found.get("owner", "")), group=str(found.get("group", "")),
                readable=found.get("readable") is True, writable=found.get("writable") is True, opened=_opened(opened, path),
            )  # fmt: skip
    return nodes


def _nvidia(world: World) -> tuple[tuple[int, ...] | Unknown | Absent, bool | Unknown | Absent]:
    """Version and flavour of the loaded NVIDIA module."""
    text = world.text("/proc/driver/nvidia/version")
    if isinstance(text, str):
        parsed = parse_driver_version(text)
        if parsed:
            return parsed
        why = Unknown("/proc/driver/nvidia/version has another form")
        return why, why
    module = world.text("/sys/module/nvidia/version")
    if isinstance(module, str):
        found = version_numbers(module)
        return found or Unknown(f"its version is written {module.strip()!r:.40}"), Unknown("its flavour is not told")
    missing = type(text)(f"/proc/driver/nvidia/version: {text.reason}")
    return missing, missing


def _loaded(world: World) -> frozenset[str] | Unknown:
    """Names of loaded modules; those built into the kernel stand under /sys/module."""
    text = world.text("/proc/modules")
    if isinstance(text, str):
        return frozenset(line.split(" ", 1)[0] for line in text.splitlines() if line)
    built_in = world.names("/sys/module")
    if isinstance(built_in, tuple):
        return frozenset(built_in)
    return Unknown(f"/proc/modules: {text.reason}")


def _available(world: World, release: object) -> frozenset[str] | Unknown:
    """Telling modules that are built for the running kernel."""
    if not isinstance(release, str):
        return Unknown("the kernel's release is not known")
    told = world.ask("modules available", lambda: _built(release))
    if isinstance(told, list):
        return frozenset(str(name) for name in told)
    return Unknown(told.reason if isinstance(told, Unknown | Absent) else "the list has another form")


def _built(release: str) -> Any:
    try:
        with Path(f"/lib/modules/{release}/modules.dep").open("rb") as file:
            text = file.read(_MODULES_LIMIT).decode("utf-8", "replace")
    except OSError as error:
        return {"unknown": f"/lib/modules/{release}: {error.strerror or type(error).__name__}"}
    files = (line.partition(":")[0].rsplit("/", 1)[-1].partition(".ko")[0] for line in text.splitlines())
    return sorted({name.replace("-", "_") for name in files if _TELLING.match(name)})


def _blacklisted(world: World) -> frozenset[str] | Unknown:
    """Modules that modprobe.d or the kernel's command line keep out."""
    found: set[str] = set()
    unread = [names for folder in _MODPROBE if isinstance(names := _rules(world, folder, found), Unknown)]
    command = world.text("/proc/cmdline")
    for word in command.split() if isinstance(command, str) else ():
        key, _, value = word.partition("=")
        if key in {"modprobe.blacklist", "module_blacklist"}:
            found |= {name.replace("-", "_") for name in value.split(",")}
    if unread and not found:
        return Unknown(unread[0].reason)
    return frozenset(name for name in found if _TELLING.match(name))


def _rules(world: World, folder: str, found: set[str]) -> Unknown | None:
    """Add what the folder's files keep out; Unknown where they cannot be read."""
    names = world.names(folder)
    if not isinstance(names, tuple):
        return names if isinstance(names, Unknown) else None
    for name in names[:200]:
        text = world.text(f"{folder}/{name}", limit=1 << 16) if name.endswith(".conf") else ""
        for line in text.splitlines() if isinstance(text, str) else ():
            words = line.split("#")[0].split()
            if len(words) > 1 and words[0] == "blacklist":
                found.add(words[1].replace("-", "_"))
            if len(words) > 2 and (words[0], words[2]) in {
                ("install", "/bin/false"),
                ("install", "/bin/true"),
                ("alias", "off"),
            }:
                found.add(words[1].replace("-", "_"))
    return None


def _secure_boot(world: World) -> bool | Unknown | Absent:
    """Whether it is on: the last of the variable's five bytes is 1."""
    text = world.text(_SECURE_BOOT, limit=16)
    if isinstance(text, str):
        return text[-1] == "\x01" if text else Unknown("the firmware's variable is empty")
    return Absent("the firmware has no Secure Boot variable") if isinstance(text, Absent) else text


def _parameters(world: World) -> dict[str, str]:
    found = {}
    for name in _PARAMETERS:
        module, _, parameter = name.partition(".")
        text = world.text(f"/sys/module/{module}/parameters/{parameter}")
        if isinstance(text, str):
            found[name] = text.strip()
    params = world.text("/proc/driver/nvidia/params")
    if isinstance(params, str):
        found |= {f"nvidia.{name}": value for name, value in parse_params(params).items()}
    return found


def _versions(world: World) -> dict[str, str]:
    texts = {name: world.text(f"/sys/module/{name}/version") for name in _VERSIONED}
    return {name: text.strip() for name, text in texts.items() if isinstance(text, str)}


def _open(paths: list[str]) -> Any:
    """Of each path "" or the error's name, tried in a child: a driver that is stuck may not let go."""
    ran = run_program((sys.executable, "-I", "-S", "-c", _OPENER, *paths), timeout_seconds=_OPEN_SECONDS)
    if not isinstance(ran, Ran):
        return {"unknown": ran.reason}
    if ran.timed_out:
        return {"unknown": f"opening a device file took longer than {_OPEN_SECONDS:g} s"}
    try:
        return json.loads(ran.stdout)
    except ValueError:
        return {"unknown": f"the process that opens device files ended with code {ran.code}"}


def _opened(told: object, path: str) -> str | Unknown:
    if isinstance(told, Unknown | Absent):
        return Unknown(told.reason)
    value = told.get(path) if isinstance(told, dict) else None
    return value if isinstance(value, str) else Unknown("it was not tried")


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0
