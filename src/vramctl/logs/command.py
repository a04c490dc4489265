"""What a server's command line asks for, in the words of a load's settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from vramctl.logs.values import flag


def _on(text: str) -> str:
    return "on" if text in {"on", "1", "true", "enabled"} else "off" if text in {"off", "0", "false"} else text


# Option -> (setting, reader). Names of Ollama's runners (llm/server.go) and of llama-server (common/arg.cpp).
_VALUES: dict[str, tuple[str, Callable[[str], Any]]] = {
    "--model": ("path", str), "-m": ("path", str),
    "--ctx-size": ("ctx", int), "-c": ("ctx", int),
    "--batch-size": ("batch", int), "-b": ("batch", int),
    "--ubatch-size": ("ubatch", int), "-ub": ("ubatch", int),
    "--parallel": ("parallel", int), "-np": ("parallel", int),
    "--n-gpu-layers": ("asked_layers", int), "-ngl": ("asked_layers", int), "--gpu-layers": ("asked_layers", int),
    "--threads": ("threads", int), "-t": ("threads", int),
    "--cache-type-k": ("type_k", str.lower), "-ctk": ("type_k", str.lower),
    "--cache-type-v": ("type_v", str.lower), "-ctv": ("type_v", str.lower),
    "--split-mode": ("split_mode", str), "-sm": ("split_mode", str),
    "--port": ("port", int), "--mmproj": ("mmproj", str),
}  # fmt: skip
_SWITCHES: dict[str, tuple[str, Any]] = {
    "--no-mmap": ("mmap", False),
    "--no-kv-offload": ("kv_offload", False), "-nkvo": ("kv_offload", False),
}  # fmt: skip


def asked(words: Sequence[str]) -> dict[str, Any]:
    """The settings that a command line names; options this program has no noun for are left out."""
    found: dict[str, Any] = {}
    for position, word in enumerate(words):
        name, _, inline = word.partition("=")
        if name in _SWITCHES:
            setting, value = _SWITCHES[name]
            found[setting] = value
            continue
        following = inline or (words[position + 1] if position + 1 < len(words) else "")
        if name in {"--flash-attn", "-fa"}:
            # A switch until August 2025, an option with a value after.
            found["flash_attn"] = "on" if not following or following.startswith("-") else _on(following)
        elif name == "--kv-cache-type":
            found["type_k"] = found["type_v"] = following.lower()
        elif name in _VALUES:
            setting, read = _VALUES[name]
            try:
                found[setting] = read(following)
            except ValueError:
                continue
    return found


def request_settings(text: str) -> dict[str, Any]:
    """The settings in Ollama's `load request="{Operation:fit ... KvSize:4096 ...}"` (0.11.5-0.24.0)."""
    found: dict[str, Any] = {}
    words = {name: value for name, _, value in (word.partition(":") for word in text.strip("{}").split(" ")) if value}
    for name, setting in (
        ("Parallel", "parallel"),
        ("BatchSize", "batch"),
        ("KvSize", "ctx"),
        ("NumThreads", "threads"),
    ):
        if words.get(name, "").isdigit():
            found[setting] = int(words[name])
    if "FlashAttention" in words:
        attention = words["FlashAttention"].lower()
        found["flash_attn"] = {"true": "on", "false": "off", "enabled": "on", "disabled": "off"}.get(
            attention, attention
        )
    if words.get("KvCacheType"):
        found["type_k"] = found["type_v"] = words["KvCacheType"].lower()
    if words.get("UseMmap") in {"true", "false"}:
        found["mmap"] = flag(words["UseMmap"])
    layers = words.get("GPULayers", "")
    if layers.startswith("[]"):
        found["gpu_layers"] = 0
    elif layers.partition("[")[0].isdigit():
        found["gpu_layers"] = int(layers.partition("[")[0])
    found["operation"] = words.get("Operation", "")
    return found


def environment(text: str) -> dict[str, str]:
    """The variables of `map[CUDA_VISIBLE_DEVICES: OLLAMA_DEBUG:INFO ...]`, as Go prints a map."""
    inside = text.strip().removeprefix("map[").removesuffix("]")
    found: dict[str, str] = {}
    name = ""
    for word in inside.split(" "):
        key, colon, value = word.partition(":")
        if (colon and key.isupper()) or (colon and key.lower() in {"http_proxy", "https_proxy", "no_proxy"}):
            name = key
            found[name] = value
        elif name:
            found[name] = f"{found[name]} {word}".strip()
    return found
