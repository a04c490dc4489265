"""Settings as the options of the command line that would ask for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from vramctl.records import Origin, Settings
from vramctl.show.printable import printable

# Fields that are one option with a value, in the order in which people read them.
_VALUED = (
    ("n_ctx", "--ctx"),
    ("n_gpu_layers", "--ngl"),
    ("n_cpu_moe", "--n-cpu-moe"),
    ("n_parallel", "--parallel"),
    ("n_batch", "--batch"),
    ("n_ubatch", "--ubatch"),
    ("type_k", "--kv-type"),
    ("flash_attn", "--flash-attn"),
    ("split_mode", "--split"),
    ("main_gpu", "--main-gpu"),
    ("tensor_split", "--tensor-split"),
    ("n_threads", "--threads"),
    ("mmproj", "--mmproj"),
    ("draft", "--draft"),
    ("engine", "--engine"),
    ("program", "--for"),
)
# Fields that are a flag: the option when the field is true, and when it is false.
_FLAGS = (
    ("offload_kqv", "", "--no-kv-offload"),
    ("op_offload", "", "--no-op-offload"),
    ("swa_full", "--swa-full", ""),
    ("kv_unified", "--kv-unified", "--no-kv-unified"),
    ("use_mmap", "", "--no-mmap"),
)
# What llama.cpp's --cpu-moe stands for: LLM_FFN_EXPS_REGEX of common/common.h, 0c1e57098.
ALL_EXPERTS = (r"\.ffn_(up|down|gate|gate_up)_(ch|)exps", "CPU")
# Defaults that ask for nothing.
_NOT_WORTH_SAYING = (("n_cpu_moe", 0), ("main_gpu", 0))


def options_by_origin(settings: Settings, origins: Mapping[str, Origin]) -> dict[Origin, tuple[str, ...]]:
    """The options that say these settings, by where each came from; settings left open are not there."""
    found: dict[Origin, list[str]] = {"asked": [], "chosen": [], "engine default": []}
    for field, option in _options(settings):
        origin = origins.get(field, "engine default")
        if origin != "engine default" or (field, getattr(settings, field)) not in _NOT_WORTH_SAYING:
            found[origin].append(option)
    return {origin: tuple(options) for origin, options in found.items()}


def flowed(options: Iterable[str], columns: int) -> str:
    """Options in lines of at most `columns` characters; an option and its value are never parted."""
    lines: list[str] = []
    for option in options:
        if lines and len(lines[-1]) + 2 + len(option) <= columns:
            lines[-1] += f"  {option}"
        else:
            lines.append(option)
    return "\n".join(lines)


def _options(settings: Settings) -> Iterator[tuple[str, str]]:
    for field, option in _VALUED:
        if getattr(settings, field) is not None:
            yield field, f"{option} {_value(settings, field)}"
    for pair in settings.tensor_overrides or ():
        text = f"--override-tensor {printable(pair[0])}={printable(pair[1])}"
        yield "tensor_overrides", "--cpu-moe" if pair == ALL_EXPERTS else text
    for field, when_true, when_false in _FLAGS:
        value = getattr(settings, field)
        flag = "" if value is None else when_true if value else when_false
        if flag:
            yield field, flag


def _value(settings: Settings, field: str) -> str:
    value = getattr(settings, field)
    if field == "type_k" and settings.type_v not in (None, value):
        return f"{value},{settings.type_v}"
    if field == "tensor_split":
        return ",".join(f"{share:g}" for share in value)
    if field in ("n_gpu_layers", "n_cpu_moe") and value < 0:
        return "all"
    return printable(str(value))
