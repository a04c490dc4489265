"""Processor, memory, limits and disks, as the process in question may use them."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from vramctl.formats import linux_host as formats
from vramctl.probes.doctor_platform import CPUINFO_LIMIT
from vramctl.records.facts import HostFacts, OllamaServer, Platform
from vramctl.records.unknown import Absent, Unknown
from vramctl.world.machine import World

CGROUP = "/sys/fs/cgroup"
_MODEL_ENDINGS = (".gguf", ".safetensors", ".bin")
_MOST_FOLDERS = 12
_LINUX_ONLY = ("numa_nodes", "numa_balancing", "memlock_bytes", "oom_kills", "swappiness", "hugepages_total")
# Windows' IsProcessorFeaturePresent.
_WINDOWS_FEATURES = {39: "avx", 40: "avx2", 41: "avx512f"}


def look_host(world: World, asked: Any, facts: Any) -> HostFacts | Unknown:
    """The host's facts; what a system does not tell is Unknown."""
    platform = facts.fact("platform")
    told = world.ask("host", _told)
    own = told if isinstance(told, dict) else {}
    linux = isinstance(platform, Platform) and platform.system == "linux"
    hypervisor = platform.hypervisor if isinstance(platform, Platform) else Unknown("the platform is not known")
    given: dict[str, Any] = {
        "physical_cores": _count(own, "physical"),
        "logical_cores": _count(own, "logical"),
        "memory_total_bytes": _count(own, "memory_total"),
        "memory_available_bytes": _count(own, "memory_available"),
        "swap_total_bytes": _count(own, "swap_total"),
        "swap_used_bytes": _count(own, "swap_used"),
        "uptime_seconds": _count(own, "uptime"),
        "cpu_name": own["cpu_name"] if isinstance(own.get("cpu_name"), str) else Unknown("the system does not name it"),
        "cpu_flags": _flags(own.get("cpu_flags")),
        "on_battery": _on_battery(own.get("power_plugged", Unknown("not told"))),
        "models": _models(world, facts),
    }
    if linux:
        process = "self" if asked.pid is None else str(asked.pid)
        given |= {**_processor(world), **_memory(world), **_limits(world, process), **_numa(world)}
        given["disks"] = _disks(world, facts, virtual=bool(hypervisor) or isinstance(hypervisor, Unknown))
        given["swapped_bytes"] = _swapped(world, process)
    else:
        given |= dict.fromkeys(("cpu_quota_cores", "memory_limit_bytes"), Absent("only Linux has cgroups"))
        given |= dict.fromkeys(_LINUX_ONLY, Absent("only told on Linux"))
    return HostFacts(**{key: value for key, value in given.items() if value is not None})


def _told() -> dict[str, Any]:
    """What psutil and Python tell on every system."""
    import psutil

    found: dict[str, Any] = {}
    for key, question in (
        ("physical", lambda: psutil.cpu_count(logical=False)), ("logical", lambda: psutil.cpu_count(logical=True)),
        ("memory_total", lambda: psutil.virtual_memory().total), ("memory_available", lambda: psutil.virtual_memory().available),
        ("swap_total", lambda: psutil.swap_memory().total), ("swap_used", lambda: psutil.swap_memory().used),
        ("power_plugged", lambda: getattr(psutil.sensors_battery(), "power_plugged", None)),
        ("uptime", lambda: int(time.time() - psutil.boot_time())),
    ):  # fmt: skip
        try:
            found[key] = question()
        except (OSError, RuntimeError, NotImplementedError, ValueError, AttributeError):
            continue
    if sys.platform == "win32":
        import ctypes

        present = ctypes.windll.kernel32.IsProcessorFeaturePresent
        found["cpu_flags"] = [name for number, name in _WINDOWS_FEATURES.items() if present(number)]
        found["cpu_name"] = os.environ.get("PROCESSOR_IDENTIFIER", "")
    return found


def _processor(world: World) -> dict[str, Any]:
    text = world.text("/proc/cpuinfo", limit=CPUINFO_LIMIT)
    if not isinstance(text, str):
        why = Unknown(f"/proc/cpuinfo: {text.reason}")
        return {"cpu_name": why, "cpu_flags": why}
    name, flags = formats.parse_processor(text)
    return {
        "cpu_name": name or Unknown("/proc/cpuinfo does not name it"),
        "cpu_flags": flags if flags is not None else Unknown("/proc/cpuinfo lists no flags"),
    }


def _memory(world: World) -> dict[str, Any]:
    """Memory, swap and huge pages of /proc/meminfo."""
    text = world.text("/proc/meminfo")
    sizes = formats.parse_meminfo(text) if isinstance(text, str) else {}
    why = Unknown(f"/proc/meminfo: {text.reason}" if not isinstance(text, str) else "/proc/meminfo does not tell it")
    swappiness = world.text("/proc/sys/vm/swappiness")
    pressure = world.text("/proc/pressure/memory")
    percent = formats.parse_pressure(pressure) if isinstance(pressure, str) else None
    total, free = sizes.get("SwapTotal"), sizes.get("SwapFree")
    return {
        "memory_total_bytes": sizes.get("MemTotal", why),
        "memory_available_bytes": sizes.get("MemAvailable", why),
        "swap_total_bytes": sizes.get("SwapTotal", why),
        "swap_used_bytes": total - free if total is not None and free is not None else why,
        "hugepages_total": sizes.get("HugePages_Total", why),
        "hugepages_free": sizes.get("HugePages_Free", why),
        "hugepage_bytes": sizes.get("Hugepagesize", why),
        "swappiness": _integer(swappiness),
        "memory_pressure_percent": percent if percent is not None else Unknown("the kernel does not measure it"),
    }


def _limits(world: World, process: str) -> dict[str, Any]:
    """Locked memory, and the quota, limit and kills of the process's control group and its parents."""
    text = world.text(f"/proc/{process}/limits")
    locked = formats.parse_locked_memory(text) if isinstance(text, str) else None
    groups = world.text(f"/proc/{process}/cgroup")
    paths = formats.cgroup_paths(groups) if isinstance(groups, str) else {}
    own = next(_folders(paths, "", CGROUP), CGROUP)
    counts = {"oom_kills": ("memory.events", "oom_kill"), "throttled_periods": ("cpu.stat", "nr_throttled")}
    found: dict[str, Any] = {
        "memlock_bytes": Unknown("the limit is not told") if locked is None else locked,
        "cpu_quota_cores": _least(_quotas(world, paths), "quota"),
        "memory_limit_bytes": _least(_memory_limits(world, paths), "limit"),
    }
    if locked == -1:
        found["memlock_bytes"] = Absent("unlimited")
    for field, (file, name) in counts.items():
        counted = formats.parse_counter(_words(world, f"{own}/{file}"), name)
        found[field] = counted if counted is not None else Unknown("its control group does not count them")
    return found


def _least(found: list[Any], what: str) -> Any:
    """The smallest number; Absent where files were read and set none; Unknown where none could be read."""
    numbers = [value for value in found if isinstance(value, int | float)]
    if numbers:
        return min(numbers)
    if found and not all(isinstance(value, Unknown) for value in found):
        return Absent(f"there is no {what}")
    return Unknown(
        f"whether there is a {what} cannot be read: {found[0].reason if found else 'no control group is known'}"
    )


def _quotas(world: World, paths: Mapping[str, str]) -> list[float | Unknown | Absent]:
    """Cores by each group's quota, of version 2 and version 1."""
    found = [
        formats.parse_quota(text) or Absent("no quota") if isinstance(text, str) else text
        for folder in _folders(paths, "", CGROUP)
        for text in [world.text(f"{folder}/cpu.max")]
    ]
    for folder in _folders(paths, "cpu", f"{CGROUP}/cpu"):
        quota, period = (world.text(f"{folder}/cpu.cfs_{name}_us") for name in ("quota", "period"))
        both = f"{quota.strip()} {period.strip()}" if isinstance(quota, str) and isinstance(period, str) else quota
        found.append(formats.parse_quota(both) or Absent("no quota") if isinstance(both, str) else both)
    return found


def _memory_limits(world: World, paths: Mapping[str, str]) -> list[int | Unknown | Absent]:
    """Bytes by each group's limit, of version 2 and version 1."""
    files = [f"{folder}/memory.max" for folder in _folders(paths, "", CGROUP)]
    files += [f"{folder}/memory.limit_in_bytes" for folder in _folders(paths, "memory", f"{CGROUP}/memory")]
    texts = [world.text(file) for file in files]
    return [formats.parse_limit(text) or Absent("no limit") if isinstance(text, str) else text for text in texts]


def _folders(paths: Mapping[str, str], controller: str, root: str) -> Iterator[str]:
    """The folder of the process's group and those above it."""
    if controller in paths:
        for path in formats.folders_up(paths[controller]):
            yield f"{root}{path}"


def _numa(world: World) -> dict[str, Any]:
    """Nodes that have processors, and whether the kernel moves memory between them."""
    names = world.names("/sys/devices/system/node")
    balancing = world.text("/proc/sys/kernel/numa_balancing")
    moves = _integer(balancing)
    if not isinstance(names, tuple):
        nodes: int | Unknown = Unknown(f"/sys/devices/system/node: {names.reason}")
    else:
        with_cpus = _words(world, "/sys/devices/system/node/has_cpu").strip()
        listed = [name for name in names if name.startswith("node") and name[4:].isdecimal()]
        nodes = _listed(with_cpus) if with_cpus else len(listed)
    if isinstance(moves, int):
        return {"numa_nodes": nodes, "numa_balancing": bool(moves)}
    return {"numa_nodes": nodes, "numa_balancing": type(moves)(f"/proc/sys/kernel/numa_balancing: {moves.reason}")}


def _listed(text: str) -> int:
    """How many numbers a list such as `0-1,4` has."""
    count = 0
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first.isdecimal():
            count += int(last) - int(first) + 1 if last.isdecimal() else 1
    return max(count, 1)


def _swapped(world: World, process: str) -> int | Unknown:
    if process == "self":
        return Unknown("no process was named (--pid)")
    text = world.text(f"/proc/{process}/status")
    sizes = formats.parse_meminfo(text) if isinstance(text, str) else {}
    return sizes.get("VmSwap", Unknown(f"/proc/{process}/status does not tell it"))


def _models(world: World, facts: Any) -> dict[str, int]:
    """Sizes in bytes of the model files that configurations name, and of the models that Ollama has loaded."""
    found = {}
    for path in _model_paths(facts):
        status = world.status(path)
        if isinstance(status, Mapping) and isinstance(status.get("size_bytes"), int) and status["size_bytes"] > 0:
            found[path] = status["size_bytes"]
    server = facts.fact("ollama")
    if isinstance(server, OllamaServer) and isinstance(server.models, tuple):
        found |= {model.name: model.size_bytes for model in server.models if isinstance(model.size_bytes, int)}
    return found


def _model_paths(facts: Any) -> list[str]:
    calls = facts.fact("calls")
    settings = [setting for call in calls for setting in call] if isinstance(calls, tuple) else []
    return [
        one.value for one in settings
        if one.name in {"model", "model_path"} and isinstance(one.value, str) and one.value.lower().endswith(_MODEL_ENDINGS)
    ][:_MOST_FOLDERS]  # fmt: skip


def _disks(world: World, facts: Any, *, virtual: bool) -> dict[str, str]:
    """What kind of disk holds each folder of models that exists."""
    mounts = world.text("/proc/self/mountinfo")
    if not isinstance(mounts, str):
        return {}
    found = {}
    for folder in _model_folders(facts):
        status = world.status(folder)
        target = status.get("target") if isinstance(status, Mapping) else None
        mount = formats.mount_of(mounts, target) if isinstance(target, str) else None
        if mount:
            found[folder] = formats.kind_of_mount(mount[0]) or _rotation(world, mount, virtual=virtual)
    return {folder: kind for folder, kind in found.items() if kind}


def _model_folders(facts: Any) -> list[str]:
    """Where models lie: named by configurations, else Ollama's and Hugging Face's folders."""
    environment = facts.fact("environment")
    variables = environment if isinstance(environment, Mapping) else {}
    server = facts.fact("ollama")
    theirs = server.environment if isinstance(server, OllamaServer) and isinstance(server.environment, Mapping) else {}
    home = variables.get("HOME", "")
    folders = [str(PurePosixPath(path).parent) for path in _model_paths(facts) if path.startswith("/")]
    for named in (theirs.get("OLLAMA_MODELS", ""), variables.get("OLLAMA_MODELS", ""), variables.get("HF_HOME", "")):
        folders += [named] if named.startswith("/") else []
    folders += [f"{home}/.ollama/models", f"{home}/.cache/huggingface"] if home.startswith("/") else []
    folders.append("/usr/share/ollama/.ollama/models")
    return list(dict.fromkeys(folders))[:_MOST_FOLDERS]


def _rotation(world: World, mount: tuple[str, str, str], *, virtual: bool) -> str:
    """ssd or rotational of a block device, "" where it cannot be told: virtual disks call themselves rotational."""
    _, source, number = mount
    name = source.rsplit("/", 1)[-1]
    places = [f"/sys/dev/block/{number}/queue", f"/sys/dev/block/{number}/../queue"]
    if source.startswith("/dev/"):
        places += [f"/sys/class/block/{name}/queue", f"/sys/class/block/{name}/../queue"]
    for place in places:
        text = world.text(f"{place}/rotational")
        if isinstance(text, str):
            return "ssd" if text.strip() == "0" else "" if virtual else "rotational"
    return ""


def _count(own: Mapping[str, Any], key: str) -> int | Unknown:
    value = own.get(key)
    usable = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return int(value) if usable and value is not None else Unknown("the system does not tell it")


def _flags(value: object) -> frozenset[str] | Unknown:
    return frozenset(map(str, value)) if isinstance(value, list) else Unknown("this system does not list them")


def _on_battery(plugged: object) -> bool | Unknown | Absent:
    if plugged is None:
        return Absent("there is no battery")
    return not plugged if isinstance(plugged, bool) else Unknown("the system does not tell it")


def _integer(text: str | Unknown | Absent) -> int | Unknown | Absent:
    if not isinstance(text, str):
        return text
    word = text.strip()
    return int(word) if word.isdecimal() and len(word) < 20 else Unknown(f"it is written {word!r:.40}")


def _words(world: World, path: str) -> str:
    text = world.text(path)
    return text if isinstance(text, str) else ""
