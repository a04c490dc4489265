"""A model in local files: one GGUF, a split set, or a folder of either kind or of safetensors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vramctl.errors import BadInput
from vramctl.formats import gguf, hf_config, safetensors
from vramctl.formats.gguf_cursor import MAX_HEADER_BYTES
from vramctl.formats.gguf_split import part_names
from vramctl.formats.model import check_part, join
from vramctl.records import Model, Tensor
from vramctl.world import Entry, kind_of, list_directory, mapped, near_names, read_small

MAX_CONFIG_BYTES = 16 << 20
MAX_SHARDS = 4096
MAX_TENSORS = 1 << 19  # in all shards; DeepSeek V3 has 92k
_NOT_WEIGHTS = ("adapter_model", "optimizer", "training_args", "scheduler")


def look_file(reference: str, path: str) -> Model:
    """The Model in a file: a GGUF (any part of a split set stands for all), or the folder of a safetensors file."""
    if path.lower().endswith(".safetensors"):
        return look_safetensors(reference, str(Path(path).parent))
    header, size = read_header(path)
    if header.split is None:
        return join(reference, (header,), names=(path,), sizes=(size,), files=(path,))
    return _look_split(reference, path, header)


def read_header(path: str) -> tuple[gguf.Header, int]:
    """The header of one GGUF file, and the file's size in bytes."""
    with mapped(path, limit=MAX_HEADER_BYTES) as file:
        return gguf.parse(file.buffer, file_bytes=file.file_bytes, where=path), file.file_bytes


def _look_split(reference: str, path: str, header: gguf.Header) -> Model:
    """The Model of the set that a part belongs to."""
    assert header.split is not None
    count = header.split.count
    names = part_names(path)
    if len(names) != count or names[header.split.number] != path:
        raise BadInput(
            "split-renamed",
            f"{path} is part {header.split.number + 1} of {count}, but is not named so.",
            because=("the other parts are found by their names",),
            fix=f"Name the files NAME-00001-of-{count:05d}.gguf and so on, as they were published.",
        )
    missing = [name for name in names if kind_of(name) != "file"]
    if missing:
        raise BadInput(
            "split-incomplete",
            f"{len(missing)} of {count} files of the model {'is' if len(missing) == 1 else 'are'} missing: "
            + ", ".join(missing[:3])
            + (" ..." if len(missing) > 3 else ""),
            because=(f"{path} is one of {count} parts",),
            fix="Download the missing files into the same folder.",
        )
    headers, sizes = [], []
    for index, name in enumerate(names):
        part, size = read_header(name)
        check_part(part, index, count, name)
        headers.append(part)
        sizes.append(size)
    return join(reference, headers, names=names, sizes=sizes, files=names)


def look_folder(reference: str, path: str) -> Model:
    """The Model in a folder: its one GGUF (or split set), else its safetensors."""
    entries = list_directory(path)
    found = _gguf_candidates(path, entries)
    weights = [entry.name for entry in entries if entry.kind == "file" and entry.name.endswith(".safetensors")]
    if len(found) + bool(weights) > 1:
        listed = [*found[:8], *(["..."] if len(found) > 8 else []), *([str(Path(path, weights[0]))] if weights else [])]
        raise BadInput(
            "several-models",
            f"{path} holds more than one model.",
            because=tuple(listed),
            fix=f"Name the file, for example {found[0]}",
        )
    if found:
        return look_file(reference, found[0])
    if weights:
        return look_safetensors(reference, path)
    raise _no_model(path, entries)


def _gguf_candidates(path: str, entries: Sequence[Entry]) -> list[str]:
    """The GGUF models of a folder, the first part standing for a split set; projectors only where nothing else is."""
    names = [entry.name for entry in entries if entry.kind == "file" and entry.name.lower().endswith(".gguf")]
    models = [name for name in names if "mmproj" not in name.lower()] or names
    chosen: dict[str, None] = {}
    for name in models:
        parts = part_names(name)
        chosen[next((part for part in parts if part in models), name)] = None
    return [str(Path(path, name)) for name in chosen]


def _no_model(path: str, entries: Sequence[Entry]) -> BadInput:
    """What to say of a folder without a model: what it holds instead, and where one may be."""
    names = [entry.name for entry in entries]
    folders = [entry.name for entry in entries if entry.kind == "folder"]
    inside = []
    for name in folders[:20]:
        try:
            below = list_directory(str(Path(path, name)))
        except BadInput:
            continue
        inside += [str(Path(path, name)) for one in below if one.name.lower().endswith((".gguf", ".safetensors"))][:1]
    if inside:
        fix = f"Did you mean {inside[0]}?"
    elif any(name.endswith((".bin", ".pt", ".pth", ".ckpt")) for name in names):
        fix = "PyTorch checkpoints are not read: convert the model to safetensors or GGUF."
    elif any(name.endswith((".incomplete", ".part", ".download", ".aria2")) for name in names):
        fix = "A download is not complete here: finish it first."
    else:
        fix = "Give a .gguf file, or the folder that holds config.json and *.safetensors."
    shown = ", ".join(names[:6]) + (" ..." if len(names) > 6 else "")
    return BadInput(
        "no-model-in-folder",
        f"{path} holds no model.",
        because=(f"it holds {shown}" if names else "it is empty",),
        fix=fix,
    )


def look_safetensors(reference: str, path: str) -> Model:
    """The Model of a Hugging Face folder: EXL2, EXL3, GPTQ, AWQ or plain."""
    config = _config(path)
    shards = _shards(path)
    tensors: dict[str, tuple[Tensor, str]] = {}
    total = 0
    for shard in shards:
        with mapped(shard, limit=8 + safetensors.MAX_HEADER_BYTES) as file:
            header = safetensors.parse(file.buffer, file_bytes=file.file_bytes, where=shard)
            total += file.file_bytes
        for tensor in header.tensors:
            if tensor.name in tensors:
                raise BadInput(
                    "duplicate-tensor",
                    f"The tensor {tensor.name[:80]!r} is in two files of {path}.",
                    because=(tensors[tensor.name][1], shard),
                    fix="Keep one copy of the weights in the folder (not both consolidated and sharded ones).",
                )
            tensors[tensor.name] = (tensor, shard)
        if len(tensors) > MAX_TENSORS:
            raise BadInput(
                "too-many-tensors",
                f"{path} holds more tensors than any model.",
                because=(f"more than {MAX_TENSORS}",),
                fix="Give the folder of one model.",
            )
    return hf_config.describe(
        reference,
        name=Path(path).absolute().name or path,
        config=config,
        tensors=tuple(tensor for tensor, _ in tensors.values()),
        file_bytes=total,
        files=tuple(shards),
    )


def _config(path: str) -> dict[str, Any]:
    """config.json, with the quantisation's own file (older GPTQ and AWQ makers) where config.json has none."""
    main = str(Path(path, "config.json"))
    if kind_of(main) != "file":
        raise BadInput(
            "no-config",
            f"{path} has safetensors but no config.json.",
            because=(_only_adapter(path),),
            fix="Download config.json from the model's page into the folder.",
        )
    config = safetensors.read_json(read_small(main, limit=MAX_CONFIG_BYTES), where=main)
    for name in ("quantize_config.json", "quant_config.json"):
        extra = str(Path(path, name))
        if "quantization_config" not in config and kind_of(extra) == "file":
            config["quantization_config"] = safetensors.read_json(
                read_small(extra, limit=MAX_CONFIG_BYTES), where=extra
            )
    return config


def _only_adapter(path: str) -> str:
    adapter = kind_of(str(Path(path, "adapter_config.json"))) == "file"
    return (
        "it is a LoRA adapter: adapter_config.json is there"
        if adapter
        else "near names: "
        + (", ".join(Path(name).name for name in near_names(str(Path(path, "config.json")))) or "none")
    )


def _shards(path: str) -> list[str]:
    """The weight files: those of the index, else all safetensors that hold weights."""
    names = [
        entry.name
        for entry in list_directory(path)
        if entry.kind == "file" and entry.name.endswith(".safetensors") and not entry.name.startswith(_NOT_WEIGHTS)
    ]
    index = str(Path(path, "model.safetensors.index.json"))
    if kind_of(index) == "file":
        table = safetensors.read_json(read_small(index, limit=MAX_CONFIG_BYTES), where=index).get("weight_map")
        listed = sorted({str(name) for name in table.values()}) if isinstance(table, dict) else []
        missing = [name for name in listed if name not in names]
        if missing and len(missing) < len(listed):
            raise BadInput(
                "shards-missing",
                f"{len(missing)} of {len(listed)} weight files are missing in {path}: {', '.join(missing[:3])}",
                because=("model.safetensors.index.json names them",),
                fix="Download the missing files into the folder.",
            )
        if listed and not missing:
            names = listed
    elif any(not name.startswith("consolidated") for name in names):
        names = [name for name in names if not name.startswith("consolidated")]
    if not names or len(names) > MAX_SHARDS:
        raise BadInput(
            "no-weights",
            f"{path} holds no weights that can be read.",
            because=(f"{len(names)} weight files",),
            fix="Give the folder of a whole model.",
        )
    return [str(Path(path, name)) for name in names]
