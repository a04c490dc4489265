"""A running llama-server is asked for some tokens, so that its GPUs are seen while it decodes."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from vramctl.engines.http_api import key_of_environment
from vramctl.engines.llama_server import AttachedServer
from vramctl.probes.device_watch import Watcher
from vramctl.records import Settings, Unknown
from vramctl.records.run import Ended, Generation

DECODE_TOKENS, MOST_REQUESTS, WATCH_SECONDS, PATIENCE_SECONDS = 32, 16, 1.2, 10.0


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a server decoded for this: tokens in all, and tokens per second by its own clock, sampling included."""

    tokens: int
    tokens_per_second: float


def ask_to_decode(url: str, watcher: Watcher) -> Decoded | Unknown:
    """About a second of decoding, in the phase `decode`; Unknown where the server is busy, or does not answer in time."""
    engine = AttachedServer(url, api_key=key_of_environment())
    speeds: list[float] = []
    tokens, why = 0, ""
    with engine.load("", Settings(), timeout_seconds=PATIENCE_SECONDS) as run:
        if isinstance(run, Ended | Unknown):
            return Unknown(run.what if isinstance(run, Ended) else run.reason)
        run.generate(2, timeout_seconds=PATIENCE_SECONDS)
        watcher.mark("decode")
        began = engine.clock.now_seconds()
        for _ in range(MOST_REQUESTS):
            found = run.generate(DECODE_TOKENS, timeout_seconds=PATIENCE_SECONDS)
            if not isinstance(found, Generation):
                why = found.what if isinstance(found, Ended) else found.reason
                break
            speeds.append(found.tokens_per_second)
            tokens += found.n_tokens
            if engine.clock.now_seconds() - began >= WATCH_SECONDS:
                break
        watcher.mark("decoded")
    if not speeds:
        return Unknown(why)
    return Decoded(tokens, statistics.median(speeds))
