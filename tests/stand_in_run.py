"""`python stand_in_run.py LIBRARIES MODEL...`: what a real llama.cpp makes of stand-ins, as one JSON line a model.

It loads each with `check_tensors`, feeds random tokens, picks the likeliest token again and again, and counts which experts
were chosen (the tensors `ffn_moe_topk-N`, seen through the evaluation callback).
"""

from __future__ import annotations

import ctypes as C
import json
import math
import os
import random
import struct
import sys
from array import array
from typing import Any

from vramctl.engines.dry_run import layouts
from vramctl.engines.dry_run.library import Big, Library

P = C.c_void_p
PROMPT, STEPS = 128, 24


class Batch(C.Structure):
    """llama_batch."""

    _fields_ = [("n", C.c_int32), *((name, P) for name in ("token", "embd", "pos", "n_seq", "seq", "logits"))]


class Engine:
    """One loaded library."""

    def __init__(self, files: list[str]) -> None:
        self.lib = Library(files)
        self.said: list[str] = []
        kind = C.CFUNCTYPE(None, C.c_int, C.c_char_p, P)
        self._logger = kind(lambda level, text, _: self.said.append((text or b"").decode("utf-8", "replace")))
        self.lib.function("llama_log_set", None, kind, P)(self._logger, None)
        self.lib.function("llama_backend_init")()
        self.experts: dict[str, list[int]] = {}
        self._watch_kind = C.CFUNCTYPE(C.c_bool, P, C.c_bool, P)
        self._watch = self._watch_kind(self._seen)

    def run(self, path: str) -> dict[str, Any]:
        """What came of one model."""
        self.said.clear()
        self.experts.clear()
        f = self.lib.function
        raw_model, model_at, raw_context, context_at = self.lib.default_params()
        model_at.write(raw_model, "check_tensors", True)
        model_at.write(raw_model, "n_gpu_layers", 0)
        model = f("llama_model_load_from_file", P, C.c_char_p, Big)(path.encode(), _struct(raw_model))
        if not model:
            return {"loaded": False, "said": "".join(self.said)[-800:]}
        for name, value in {"n_ctx": 512, "n_batch": PROMPT, "n_ubatch": PROMPT}.items():
            context_at.write(raw_context, name, value)
        callback_at = context_at.fields["type_k"][0] - 16
        struct.pack_into("<Q", raw_context, callback_at, C.cast(self._watch, P).value or 0)
        context = f("llama_init_from_model", P, P, Big)(model, _struct(raw_context))
        if not context:
            return {"loaded": True, "context": False, "said": "".join(self.said)[-800:]}
        found = self._generate(model, context)
        f("llama_free", None, P)(context)
        f("llama_model_free", None, P)(model)
        return {"loaded": True, "context": True, **found}

    def _generate(self, model: int, context: int) -> dict[str, Any]:
        f = self.lib.function
        vocab = f("llama_model_get_vocab", P, P)(model)
        tokens = f("llama_vocab_n_tokens", C.c_int32, P)(vocab)
        decode = f("llama_decode", C.c_int32, P, Batch)
        one = f("llama_batch_get_one", Batch, P, C.c_int32)
        logits_of = f("llama_get_logits_ith", P, P, C.c_int32)
        picked, spreads, finite, codes = [], [], True, []
        draw = random.Random(1)
        feed = array("i", (draw.randrange(300, tokens - 10) for _ in range(PROMPT)))
        prefill: dict[str, list[int]] = {}
        for step in range(STEPS):
            codes.append(decode(context, one(feed.buffer_info()[0], len(feed))))
            if step == 0:
                prefill = {name: list(chosen) for name, chosen in self.experts.items()}
            row = array("f", C.string_at(logits_of(context, -1), 4 * tokens))
            finite = finite and all(map(math.isfinite, row))
            mean = sum(row) / tokens
            spreads.append(math.sqrt(sum((value - mean) ** 2 for value in row) / tokens))
            picked.append(max(range(tokens), key=row.__getitem__))
            feed = array("i", picked[-1:])
        ends = f("llama_vocab_is_eog", C.c_bool, P, C.c_int32)
        return {
            "codes": sorted(set(codes)), "finite": finite, "spread": min(spreads), "distinct": len(set(picked)),
            "ended": sum(bool(ends(vocab, token)) for token in picked), "experts": prefill,
        }  # fmt: skip

    def _seen(self, tensor: int, asked: bool, _: int) -> bool:
        name = C.string_at(tensor + layouts.TENSOR_NAME).decode()
        wanted = name.startswith("ffn_moe_topk")
        if asked or not wanted:
            return wanted or not asked
        shape = struct.unpack("<4q", C.string_at(tensor + layouts.TENSOR_NE, 32))
        steps = struct.unpack("<4Q", C.string_at(tensor + layouts.TENSOR_NB, 32))
        (data,) = struct.unpack("<Q", C.string_at(tensor + layouts.TENSOR_DATA, 8))
        for token in range(shape[1]):
            chosen = array("i", C.string_at(data + token * steps[1], 4 * shape[0]))
            self.experts.setdefault(name, []).extend(chosen)
        return True


def _struct(raw: bytearray) -> Big:
    made = Big()
    C.memmove(C.addressof(made), bytes(raw[:512]), min(len(raw), 512))
    return made


def main() -> int:
    """Runs the models named on the command line."""
    engine = Engine(json.loads(sys.argv[1]))
    for path in sys.argv[2:]:
        sys.stdout.write(json.dumps(engine.run(path)) + "\n")
        sys.stdout.flush()
    os._exit(0)  # a library's destructors are not what is tested


if __name__ == "__main__":
    sys.exit(main())
