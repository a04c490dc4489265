"""Ollama's API: what it runs, and the times of its answers (`/api/generate`, all durations in nanoseconds).

Read from api/types.go and llm/llama_server.go of Ollama v0.33.0-rc2: `prompt_eval_count` counts cached tokens too, while
`prompt_eval_duration` is the uncached part alone; `eval_duration` starts at the first token, so `eval_count` tokens are
`eval_count - 1` decode steps. Prompts are words, since the API takes no tokens, and an answer may stop early.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from vramctl.engines.http_api import Api, ApiFailed, Reply
from vramctl.records import Settings, Unknown
from vramctl.records.run import BY_CLIENT, BY_SERVER, Answer, Generation, Prefill

ASK_SECONDS = 10.0
_NANO = 1e-9
_WORDS = ("the", "of", "and", "to", "in", "is", "you", "that", "it", "he", "was", "for", "on", "are", "as", "with", "his",
          "they", "at", "be", "this", "have", "from", "or", "one", "had", "by", "but", "not", "what", "all", "were")  # fmt: skip
_OPTIONS = {
    "n_ctx": "num_ctx", "n_batch": "num_batch", "n_gpu_layers": "num_gpu", "main_gpu": "main_gpu", "use_mmap": "use_mmap",
    "n_threads": "num_thread",
}  # fmt: skip


class OllamaRefused(Exception):
    """Ollama answered with an error; the text is its own. `ended`: the model is no longer loaded."""

    def __init__(self, reason: str, *, ended: bool) -> None:
        super().__init__(reason)
        self.ended = ended


@dataclass(frozen=True, slots=True)
class Listed:
    """One model that `/api/ps` lists: its bytes in all and on GPUs, its context."""

    size_bytes: int | Unknown
    gpu_bytes: int | Unknown
    n_ctx: int | Unknown


def options(settings: Settings) -> tuple[dict[str, Any], tuple[str, ...]]:
    """(Ollama's options, names of settings that a request cannot set); pure."""
    chosen = {name: getattr(settings, name) for name in Settings.__dataclass_fields__}
    given = {_OPTIONS[name]: value for name, value in chosen.items() if name in _OPTIONS and value is not None}
    if given.get("num_gpu", 0) < 0:
        given["num_gpu"] = 999
    left_out = ("engine", "program", *_OPTIONS)
    missing = (name for name, value in chosen.items() if name not in left_out and value is not None)
    return given, tuple(missing)


class OllamaTalk:
    """One model of one Ollama. ApiFailed where it does not answer in time, OllamaRefused where it says no."""

    def __init__(self, api: Api, model: str, settings: dict[str, Any], *, keep_alive: str) -> None:
        self._api, self._model, self._options, self._keep_alive = api, model, settings, keep_alive
        self._random = random.Random(7)
        self._runs = {"prefill": 0, "generate": 0}

    def version(self) -> str | Unknown:
        """Ollama's own version."""
        document = self._api.get("/api/version", timeout_seconds=ASK_SECONDS).document
        found = document.get("version") if isinstance(document, dict) else None
        return found if isinstance(found, str) else Unknown("/api/version names none")

    def listed(self) -> Listed | None:
        """What `/api/ps` says of this model, None where it is not loaded."""
        document = self._api.get("/api/ps", timeout_seconds=ASK_SECONDS).document
        rows = document.get("models") if isinstance(document, dict) else None
        for row in rows or ():
            if isinstance(row, dict) and _same(self._model, str(row.get("name")), str(row.get("model"))):
                return Listed(*(_count(row.get(key), key) for key in ("size", "size_vram", "context_length")))
        return None

    def details(self) -> dict[str, str]:
        """What `/api/show` says in words: family, parameter size, quantization."""
        document = self._api.post("/api/show", {"model": self._model}, timeout_seconds=ASK_SECONDS).document
        found = document.get("details") if isinstance(document, dict) else None
        return {key: value for key, value in found.items() if isinstance(value, str)} if isinstance(found, dict) else {}

    def load(self, *, timeout_seconds: float) -> None:
        """Returns once the model is loaded with these options."""
        self._ask({"prompt": "", "stream": False}, timeout_seconds)

    def unload(self, *, timeout_seconds: float) -> None:
        """Asks Ollama to let go of the model."""
        self._ask({"prompt": "", "stream": False, "keep_alive": 0}, timeout_seconds)

    def prefill(self, n_tokens: int, depth: int, *, timeout_seconds: float) -> Prefill:
        """A prompt of about `n_tokens` on top of one of about `depth`, by Ollama's own counts and time."""
        before, held = "", 0
        if depth:
            before = self._words(depth)
            held = _whole(self._ask(self._prompt(before, 1), timeout_seconds), "prompt_eval_count")
        found = self._ask(self._prompt(f"{before} {self._words(n_tokens)}", 1), timeout_seconds)
        self._runs["prefill"] += 1
        return Prefill(
            n_tokens=_whole(found, "prompt_eval_count") - held,
            depth=held,
            seconds=_whole(found, "prompt_eval_duration") * _NANO,
            first_run=self._runs["prefill"] == 1,
            measured_by=BY_SERVER,
        )

    def generate(self, n_tokens: int, depth: int, *, timeout_seconds: float) -> Generation:
        """Up to `n_tokens` decode steps after a prompt of about `depth`, by Ollama's own counts and time."""
        found = self._ask(self._prompt(self._words(max(1, depth)), n_tokens + 1), timeout_seconds)
        steps = _whole(found, "eval_count") - 1
        if steps < 1:
            raise OllamaRefused("the model ended its answer at once", ended=False)
        self._runs["generate"] += 1
        return Generation(
            n_tokens=steps,
            depth=_whole(found, "prompt_eval_count"),
            seconds=_whole(found, "eval_duration") * _NANO,
            token_seconds=Unknown("Ollama times only the whole answer"),
            first_run=self._runs["generate"] == 1,
            measured_by=BY_SERVER,
        )

    def answer(self, prompt_tokens: int, n_tokens: int, *, timeout_seconds: float) -> Answer:
        """One request as a client sees it; gaps where every token came in a piece of its own."""
        body = self._body(self._prompt(self._words(prompt_tokens), n_tokens) | {"stream": True})
        arrivals, last, total = [], dict[str, Any](), 0.0
        for at, reply in self._api.stream("/api/generate", body, timeout_seconds=timeout_seconds):
            document = _checked(reply)
            total = at
            if document.get("response") or document.get("thinking"):
                arrivals.append(at)
            if document.get("done"):
                last = document
        if not last:
            raise ApiFailed(f"{self._api.url} broke off its answer", timed_out=False)
        count = _whole(last, "eval_count")
        whole = len(arrivals) == count and count > 0
        return Answer(
            prompt_tokens=_whole(last, "prompt_eval_count"),
            n_tokens=count,
            prompt_seconds=_whole(last, "prompt_eval_duration") * _NANO,
            first_token_seconds=arrivals[0] if arrivals else Unknown("no text came"),
            gap_seconds=tuple(b - a for a, b in pairwise(arrivals))
            if whole
            else Unknown(f"{count} tokens came in {len(arrivals)} pieces"),
            total_seconds=total,
            measured_by=BY_CLIENT,
            cached_tokens=Unknown("Ollama does not say"),
        )

    def _prompt(self, text: str, count: int) -> dict[str, Any]:
        return {"prompt": text, "raw": True, "stream": False, "num_predict": count}

    def _words(self, count: int) -> str:
        """So many common words, most of them one token each; other ones each time, so that nothing is cached."""
        return " ".join(self._random.choices(_WORDS, k=count))

    def _body(self, request: dict[str, Any]) -> dict[str, Any]:
        given = dict(request)
        chosen = dict(self._options) | {"temperature": 0.0, "num_predict": given.pop("num_predict", 1)}
        return {"model": self._model, "options": chosen, "keep_alive": self._keep_alive} | given

    def _ask(self, request: dict[str, Any], timeout_seconds: float) -> dict[str, Any]:
        return _checked(self._api.post("/api/generate", self._body(request), timeout_seconds=timeout_seconds))


def _checked(reply: Reply) -> dict[str, Any]:
    document = reply.document
    if reply.status == 200 and isinstance(document, dict) and "error" not in document:
        return document
    words = reply.error if reply.status != 200 or not isinstance(document, dict) else str(document.get("error"))
    raise OllamaRefused(words, ended=reply.status >= 500 or reply.status == 200)


def _same(model: str, *names: str) -> bool:
    return any(name in (model, f"{model}:latest") for name in names)


def _count(value: Any, key: str) -> int | Unknown:
    return value if isinstance(value, int) else Unknown(f"/api/ps has no {key}")


def _whole(document: dict[str, Any], key: str) -> int:
    """A count or a duration; Ollama leaves out what is 0."""
    value = document.get(key, 0)
    if not isinstance(value, int):
        raise OllamaRefused(f"{key} is {value!r}, which is no number", ended=False)
    return value
