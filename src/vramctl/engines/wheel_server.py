"""llama-server out of xllamacpp's wheel, as a program: `PYTHON wheel_server.py --model FILE --port N ...`.

For machines that have the wheel and no llama-server binary. It understands the options of llama-server that settings need
(common/arg.cpp, llama.cpp b11434), serves until it is told to end, and is run by its path, by whichever interpreter has the
wheel: it imports nothing of this package.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from typing import Any

# --n-cpu-moe as common/common.h writes it: the experts of the first layers
_EXPERTS = r"blk\.{}\.ffn_(up|down|gate|gate_up)_(ch|)exps=CPU"
_MOST_DEVICES = 128
_SWITCHES = (
    "no-kv-offload",
    "no-op-offload",
    "swa-full",
    "kv-unified",
    "no-kv-unified",
    "no-warmup",
    "slots",
    "no-webui",
)


def parser() -> argparse.ArgumentParser:
    """The options, by llama-server's names."""
    made = argparse.ArgumentParser(prog="llama-server (xllamacpp)")
    for name in ("model", "host", "cache-type-k", "cache-type-v", "override-tensor", "mmproj", "model-draft"):
        made.add_argument(f"--{name}")
    for name in ("port", "ctx-size", "batch-size", "ubatch-size", "parallel", "gpu-layers", "main-gpu", "threads", "n-cpu-moe",
                 "cache-ram", "log-verbosity"):  # fmt: skip
        made.add_argument(f"--{name}", type=int)
    made.add_argument("--flash-attn", choices=("on", "off", "auto"))
    made.add_argument("--split-mode", choices=("none", "layer", "row"))
    made.add_argument("--load-mode", choices=("none", "mmap"))
    made.add_argument("--fit", choices=("on", "off"))
    made.add_argument("--tensor-split")
    for name in _SWITCHES:
        made.add_argument(f"--{name}", action="store_true")
    return made


def params(given: argparse.Namespace, x: Any) -> Any:
    """xllamacpp's CommonParams of these options; `x` is the module."""
    made = x.CommonParams()
    made.model.path = given.model
    plain = {
        "port": given.port, "n_ctx": given.ctx_size, "n_batch": given.batch_size, "n_ubatch": given.ubatch_size,
        "n_parallel": given.parallel, "n_gpu_layers": given.gpu_layers, "main_gpu": given.main_gpu,
        "cache_ram_mib": given.cache_ram, "verbosity": given.log_verbosity,
    }  # fmt: skip
    for name, value in plain.items():
        if value is not None:
            setattr(made, name, value)
    if given.threads is not None:
        made.cpuparams.n_threads = made.cpuparams_batch.n_threads = given.threads
    if given.flash_attn:
        state = {"on": "ENABLED", "off": "DISABLED", "auto": "AUTO"}[given.flash_attn]
        made.flash_attn_type = x.llama_flash_attn_type[f"LLAMA_FLASH_ATTN_TYPE_{state}"]
    if given.split_mode:
        made.split_mode = x.llama_split_mode[f"LLAMA_SPLIT_MODE_{given.split_mode.upper()}"]
    if given.load_mode:
        made.load_mode = x.llama_load_mode[f"LLAMA_LOAD_MODE_{given.load_mode.upper()}"]
    if given.cache_type_k:
        made.cache_type_k = x.ggml_type[f"GGML_TYPE_{given.cache_type_k.upper()}"]
    if given.cache_type_v:
        made.cache_type_v = x.ggml_type[f"GGML_TYPE_{given.cache_type_v.upper()}"]
    if given.tensor_split:
        shares = [float(share) for share in given.tensor_split.split(",")]
        made.tensor_split = shares + [0.0] * (_MOST_DEVICES - len(shares))
    overrides = [given.override_tensor] if given.override_tensor else []
    overrides += [_EXPERTS.format(layer) for layer in range(given.n_cpu_moe or 0)]
    if overrides:
        made.tensor_buft_overrides = ",".join(overrides)
    if given.mmproj:
        made.mmproj.path = given.mmproj
    if given.model_draft:
        made.speculative.draft.mparams.path = given.model_draft
    made.no_kv_offload, made.no_op_offload, made.swa_full = given.no_kv_offload, given.no_op_offload, given.swa_full
    made.kv_unified = given.kv_unified
    made.warmup, made.ui, made.fit_params = not given.no_warmup, not given.no_webui, given.fit != "off"
    made.endpoint_slots = made.endpoint_metrics = True
    return made


def main() -> int:
    """Serves until SIGTERM or SIGINT; 1 where the model cannot be loaded."""
    given = parser().parse_args()
    import xllamacpp as x

    asked_to_end = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked_to_end.set())
    try:
        server = x.Server(params(given, x))
    except (RuntimeError, ValueError, TypeError) as error:
        sys.stderr.write(f"error loading model: {error}\n")
        return 1
    while not asked_to_end.wait(0.5):
        pass
    del server
    sys.stderr.flush()
    os._exit(0)  # static destructors of the wheel are not worth a crash


if __name__ == "__main__":
    sys.exit(main())
