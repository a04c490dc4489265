"""What llama.cpp prints about the projector of a multimodal model (clip, mtmd)."""

from __future__ import annotations

from vramctl.logs.llama_cpp_values import hyperparameter, switched
from vramctl.logs.rule import Rule, rule
from vramctl.logs.values import ints, old_mb, size

RULES: tuple[Rule, ...] = (
    rule(
        "projector.info", r"^(?P<name>[\w ]+): +(?P<value>.+)$",
        fields={"name": str, "value": hyperparameter},
        function="load_hparams",
        seen="llama.cpp (mtmd), 2025 on", example="load_hparams: model size:         802.50 MiB",
        gives={"name": "model size", "value": "802.50 MiB"},
    ),
    rule(
        "projector.info",
        r"^(?P<name>model name|description|GGUF version|alignment|n_tensors|n_kv|ftype|has_\w+|text_encode"
        r"r|vision_encoder|llava_projector|minicpmv_projector|model size|metadata size|params backend"
        r" buffer size|use_\w+|CLIP using \w+ backend): *(?P<value>.*)$",
        fields={"name": str, "value": hyperparameter},
        function=("clip_model_loader", "clip_model_load", "clip_init", "load_hparams_clip"),
        seen="llama.cpp (clip), 2023 on", example="clip_model_loader: n_tensors:    223",
        gives={"name": "n_tensors", "value": 223},
    ),
    rule(
        "projector.encoder", r"^has (?P<encoder>vision|audio|audio generation \(gen\)) encoder$",
        fields={"encoder": str},
        seen="llama.cpp (mtmd), 2025 on", example="clip_model_loader: has vision encoder",
        gives={"encoder": "vision"},
    ),
    rule(
        "projector.backend", r"^CLIP using (?P<backend>\S+) backend$",
        fields={"backend": str},
        seen="llama.cpp (clip, mtmd), 2023 on", example="clip_ctx: CLIP using CUDA0 backend",
        gives={"backend": "CUDA0"},
    ),
    rule(
        "projector.tensor",
        r"^tensor\[(?P<index>\d+)\]: n_dims = (?P<dimensions>\d+), name = (?P<name>\S+),"
        r" tensor_size=(?P<size>\d+), offset=(?P<offset>\d+), shape:\[(?P<shape>[\d, ]+)\], type ="
        r" (?P<type>\S+)$",
        fields={
            "index": int, "dimensions": int, "name": str, "size": size, "offset": int, "shape": ints, "type": str,
        },
        seen="llama.cpp (clip), 2023 on",
        example=(
            "clip_model_load: tensor[0]: n_dims = 1, name = v.blk.0.ln1.weight, tensor_size=4096, offset=0, "
            "shape:[1024, 1, 1, 1], type = f32"
        ),
        gives={
            "index": 0, "dimensions": 1, "name": "v.blk.0.ln1.weight", "size": size("4096"), "offset": 0,
            "shape": (1024, 1, 1, 1), "type": "f32",
        },
    ),
    rule(
        "projector.warmup", r"^warmup with (?P<what>image|audio) size = (?P<size>[\d x]+)$",
        fields={"what": str, "size": str},
        seen="llama.cpp (mtmd), Oct 2025 on", example="get_dummy_batch: warmup with image size = 448 x 448",
        gives={"what": "image", "size": "448 x 448"},
    ),
    rule(
        "projector.flash_attention", r"^flash attention is (?P<on>enabled|disabled)$",
        fields={"on": switched},
        seen="llama.cpp (mtmd), Nov 2025 on", example="warmup: flash attention is enabled",
        gives={"on": True},
    ),
    rule(
        "projector.flash_attention_slow",
        r"^flash attention is not supported by the current backend; falling back to CPU \(performance will"
        r" be degraded\)$",
        seen="llama.cpp (mtmd), Nov 2025 on",
        example=(
            "warmup: flash attention is not supported by the current backend; falling back to CPU "
            "(performance will be degraded)"
        ),
    ),
    rule(
        "projector.unsupported_ops", r"^WARNING: the CLIP graph uses unsupported operators by the backend$",
        seen="llama.cpp (mtmd), Nov 2025 on",
        example="warmup: WARNING: the CLIP graph uses unsupported operators by the backend",
    ),
    rule(
        "projector.graph", r"^graph splits = (?P<splits>\d+), nodes = (?P<nodes>\d+)$",
        fields={"splits": int, "nodes": int},
        seen="llama.cpp (mtmd), Nov 2025 on", example="reserve_compute_meta: graph splits = 1, nodes = 703",
        gives={"splits": 1, "nodes": 703},
    ),
    rule(
        "projector.buffer", r"^params backend buffer size = +(?P<size>\d+\.\d+) MB \((?P<tensors>\d+) tensors\)$",
        fields={"size": old_mb, "tensors": int},
        seen="llama.cpp (clip), 2023-2024",
        example="clip_model_load: params backend buffer size =  595.49 MB (377 tensors)",
        gives={"size": old_mb("595.49"), "tensors": 377},
    ),
    rule(
        "projector.buffer", r"^compute allocated memory: (?P<size>\d+\.\d+) MB$",
        fields={"size": old_mb},
        seen="llama.cpp (clip), 2023-2025", example="clip_model_load: compute allocated memory: 32.89 MB",
        gives={"size": old_mb("32.89")},
    ),
    rule(
        "projector.load_failed", r"^failed to load model '(?P<path>.+)': (?P<error>.+)$",
        fields={"path": str, "error": str},
        seen="llama.cpp (mtmd), 2025 on",
        example="clip_init: failed to load model '/models/mmproj.gguf': load_hparams: unknown projector type: gemma5",
        gives={"path": "/models/mmproj.gguf", "error": "load_hparams: unknown projector type: gemma5"},
    ),
)  # fmt: skip
