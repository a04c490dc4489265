"""An Ollama server as its API, its service and its processes show it. Nothing is started or changed."""

from __future__ import annotations

import json
import os
import shlex
import threading
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vramctl.records.facts import OllamaModel, OllamaServer, Platform
from vramctl.records.unknown import Absent, Unknown
from vramctl.world.machine import World

DEFAULT_URL = "http://127.0.0.1:11434"
_SECONDS = 1.0
_SECONDS_IN_ALL = 4.0
_MOST_ANSWER = 4 << 20
_MOST_MODELS = 4
_WANTED = (
    "OLLAMA_",
    "CUDA_",
    "HIP_",
    "ROCR_",
    "GGML_",
    "GPU_",
    "HSA_",
    "NVIDIA_",
    "LLAMA_ARG_",
    "LD_LIBRARY_PATH",
    "PATH",
)
_SECRET = ("KEY", "TOKEN", "SECRET", "PASSWORD")


def look_ollama(world: World, asked: Any, facts: Any) -> OllamaServer | Unknown | Absent:
    """The server that a client would talk to here; Absent where none answers, none runs and no service is installed."""
    if asked.engines and "ollama" not in asked.engines:
        return Absent("Ollama was not asked about")
    client = world.environ()
    url = server_url(client.get("OLLAMA_HOST", ""))
    version = _fetched(world, f"{url}/api/version")
    platform = facts.fact("platform")
    linux = isinstance(platform, Platform) and platform.system == "linux"
    unit = _unit(world) if linux else {}
    processes = _processes(world) if linux else Unknown("processes are only listed on Linux")
    servers = [one for one in processes if _is_server(one)] if isinstance(processes, list) else []
    answers = isinstance(version, dict)
    if not answers and not servers and unit.get("LoadState") != "loaded":
        return Absent(f"no Ollama server answers at {url}, none runs, and no service of it is installed")
    pid = _pid(unit, servers)
    return OllamaServer(
        url=url,
        version=str(version["version"])
        if isinstance(version, dict) and "version" in version
        else Unknown(f"no answer at {url}"),
        models=_models(world, url) if answers else Unknown(f"no answer at {url}"),
        pid=pid if pid is not None else Unknown("its process was not found"),
        environment=_server_environment(world, pid, unit),
        client_environment={name: text for name, text in client.items() if _wanted(name)},
        listeners=tuple(one["command"] for one in servers) if isinstance(processes, list) else processes,
        orphans=_orphans(processes),
        unit=unit.get("FragmentPath") or Absent("there is no systemd unit ollama"),
    )


def server_url(text: str) -> str:
    """Where a client with this OLLAMA_HOST connects (`envconfig.ConnectableHost` of Ollama v0.33.0-rc2)."""
    text = text.strip().strip("\"'")
    if not text:
        return DEFAULT_URL
    scheme, has_scheme, rest = text.partition("://")
    scheme, rest = (scheme, rest) if has_scheme else ("http", text)
    default = {"http": 80, "https": 443}.get(scheme, 11434) if has_scheme else 11434
    try:
        parts = urllib.parse.urlsplit(f"//{rest.split('/')[0]}")
        host, port = parts.hostname or "127.0.0.1", parts.port
    except ValueError:
        return DEFAULT_URL
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port if port is not None else default}"


def _fetched(world: World, url: str, body: Mapping[str, str] | None = None) -> Any:
    """The server's JSON; Unknown or Absent (nobody listens) otherwise."""
    key = f"http {url}" + (f" {json.dumps(body)}" if body else "")
    return world.ask(key, lambda: _answer(url, body))


def _answer(url: str, body: Mapping[str, str] | None) -> Any:
    """The answer, or why there is none, within the time for all of it: a server may send a byte now and then for ever."""
    told: list[Any] = []
    thread = threading.Thread(target=lambda: told.append(_asked_server(url, body)), daemon=True)
    thread.start()
    thread.join(_SECONDS_IN_ALL)
    return told[0] if told else {"unknown": f"no whole answer within {_SECONDS_IN_ALL:g} s"}


def _asked_server(url: str, body: Mapping[str, str] | None) -> Any:
    import http.client
    import urllib.error  # 60 ms that a recording does not need
    import urllib.request

    data = json.dumps(body).encode() if body else None
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_SECONDS) as answer:
            return json.loads(answer.read(_MOST_ANSWER))
    except urllib.error.HTTPError as error:
        return {"unknown": f"HTTP {error.code}"}
    except urllib.error.URLError as error:
        refused = isinstance(error.reason, ConnectionRefusedError)
        return {"absent" if refused else "unknown": "nobody listens there" if refused else str(error.reason)}
    except (OSError, ValueError, RecursionError, http.client.HTTPException) as error:
        return {"unknown": f"{type(error).__name__}: {error}"[:200]}


def _unit(world: World) -> dict[str, str]:
    """Properties of the unit ollama; empty where there is no systemd."""
    ran = world.run(
        "systemctl", "show", "ollama", "-p", "LoadState,ActiveState,MainPID,FragmentPath,Environment", timeout_seconds=3
    )
    if isinstance(ran, Unknown | Absent) or ran.code != 0:
        return {}
    return dict(line.split("=", 1) for line in ran.stdout.splitlines() if "=" in line)


def _processes(world: World) -> list[dict[str, Any]] | Unknown:
    """Processes whose command names Ollama or llama-server: pid, parent and command."""
    found = world.ask("processes ollama", lambda: list(_running()))
    if not isinstance(found, list):
        return Unknown(getattr(found, "reason", "the recording's answer has another form"))
    return [one for one in found if isinstance(one, dict) and isinstance(one.get("command"), str)]


def _running() -> Iterator[dict[str, Any]]:
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            command = (
                Path(entry.path, "cmdline").read_bytes()[:4096].replace(b"\0", b" ").decode("utf-8", "replace").strip()
            )
            if not command or not any(
                word in command.split(" ")[0] for word in ("ollama", "llama-server", "llama_server")
            ):
                continue
            parent = Path(entry.path, "stat").read_text().rpartition(")")[2].split()[1]
            yield {"pid": int(entry.name), "parent": int(parent), "command": command}
        except (OSError, ValueError, IndexError):
            continue


def _is_server(process: Mapping[str, Any]) -> bool:
    words = process["command"].split()
    return len(words) > 1 and words[0].rsplit("/", 1)[-1].startswith("ollama") and words[1] == "serve"


def _is_runner(process: Mapping[str, Any]) -> bool:
    words = process["command"].split()
    return "runner" in words[1:2] or ("ollama" in words[0] and "llama-server" in words[0])


def _orphans(processes: list[dict[str, Any]] | Unknown) -> tuple[int, ...] | Unknown:
    if isinstance(processes, Unknown):
        return processes
    return tuple(
        one["pid"]
        for one in processes
        if _is_runner(one) and one.get("parent") == 1 and isinstance(one.get("pid"), int)
    )


def _pid(unit: Mapping[str, str], servers: list[dict[str, Any]]) -> int | None:
    main = unit.get("MainPID", "0")
    if main.isdigit() and int(main) > 0:
        return int(main)
    pids = [one["pid"] for one in servers if isinstance(one.get("pid"), int)]
    return pids[0] if len(pids) == 1 else None


def _server_environment(world: World, pid: int | None, unit: Mapping[str, str]) -> Mapping[str, str] | Unknown:
    """The server's variables: of its process where we may read them, else those that its unit sets."""
    if pid is not None:
        told = world.ask(f"environ {pid}", lambda: _own_variables(pid))
        if isinstance(told, dict) and told:
            return {str(name): str(value) for name, value in told.items() if _wanted(str(name))}
    if unit.get("LoadState") == "loaded":
        try:
            words = shlex.split(unit.get("Environment", ""))
        except ValueError:
            words = unit.get("Environment", "").split()
        return {name: value for name, value in (word.split("=", 1) for word in words if "=" in word) if _wanted(name)}
    return Unknown("the server's process cannot be read without its user's rights, and no unit sets variables")


def _own_variables(pid: int) -> dict[str, str]:
    try:
        raw = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError as error:
        return {"unknown": error.strerror or type(error).__name__}
    pairs = (part.partition("=") for part in raw.decode("utf-8", "replace").split("\0"))
    return {name: value for name, equals, value in pairs if equals}


def _wanted(name: str) -> bool:
    return name.startswith(_WANTED) and not any(word in name for word in _SECRET)


def _models(world: World, url: str) -> tuple[OllamaModel, ...] | Unknown:
    loaded, stored = _fetched(world, f"{url}/api/ps"), _fetched(world, f"{url}/api/tags")
    if not isinstance(loaded, dict) or not isinstance(loaded.get("models"), list):
        return Unknown(getattr(loaded, "reason", "/api/ps has another form"))
    sizes = stored.get("models") if isinstance(stored, dict) else None
    files = (
        {one.get("name"): one.get("size") for one in sizes if isinstance(one, dict)} if isinstance(sizes, list) else {}
    )
    return tuple(_model(world, url, one, files) for one in loaded["models"][:_MOST_MODELS] if isinstance(one, dict))


def _model(world: World, url: str, one: Mapping[str, Any], files: Mapping[Any, Any]) -> OllamaModel:
    name = str(one.get("name", "a model"))
    return OllamaModel(
        name=name,
        size_bytes=_whole(one.get("size"), "size"),
        vram_bytes=_whole(one.get("size_vram"), "size_vram"),
        context=_whole(one.get("context_length"), "context_length (Ollama before 0.9.3)"),
        file_bytes=_whole(files.get(name), "the file's size"),
        num_gpu=_num_gpu(_fetched(world, f"{url}/api/show", {"model": name})),
    )


def _num_gpu(shown: Any) -> int | Unknown | Absent:
    if not isinstance(shown, dict):
        return Unknown(getattr(shown, "reason", "/api/show has another form"))
    for line in str(shown.get("parameters", "")).splitlines():
        words = line.split()
        if len(words) == 2 and words[0] == "num_gpu" and words[1].lstrip("-").isdigit():
            return int(words[1])
    return Absent("the model has no num_gpu of its own")


def _whole(value: Any, what: str) -> int | Unknown:
    return (
        value if isinstance(value, int) and not isinstance(value, bool) else Unknown(f"the server does not say {what}")
    )
