"""What is to be benchmarked, and the configurations that this means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from vramctl.errors import BadInput
from vramctl.records import Settings
from vramctl.units import pad

_USUAL_DEPTHS = (2048, 8192)
_ROOM = 64  # tokens beside those that are measured: the warm-up's, and the answer's


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is measured: sizes in tokens, at most `rounds` rounds and about `seconds` seconds after the warm-up.

    It stops early where the 95 % intervals of prefill and decode are narrower than `enough` of their medians.  `in_all_seconds`
    bounds loading, warm-up and measuring together.  `keep_sizes`: they were asked for, and are not cut on a slow machine.
    """

    prompt_tokens: int = 512
    decode_tokens: int = 64
    depth: int = 0
    answer_tokens: int = 8
    rounds: int = 20
    seconds: float = 60.0
    enough: float = 0.02
    in_all_seconds: float = math.inf
    keep_sizes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One benchmark.

    `everything` is one plain row, the layers and the long contexts that fit; `parallels` are requests at a time against a server.
    `settings` holds only what was asked for; `layers` are n_gpu_layers to compare (-1: all, None: auto); `depths` are tokens of
    context to measure at; `on_cpu_too` measures each depth without a GPU as well.
    """

    model: str
    settings: Settings
    effort: Effort = field(default_factory=Effort)
    layers: tuple[int | None, ...] = ()
    depths: tuple[int, ...] = ()
    on_cpu_too: bool = False
    engine_path: str | None = None
    force: bool = False
    everything: bool = False
    parallels: tuple[int, ...] = ()
    utilization: float = 0.90


@dataclass(frozen=True, slots=True)
class Case:
    """One configuration to measure: its name in the table, what was asked for, and how much is measured."""

    name: str
    asked: Settings
    effort: Effort
    on_cpu: bool = False


def cases(request: Request, *, has_gpu: bool) -> tuple[Case, ...]:
    """The configurations of a request, in the order in which they are measured."""
    if request.layers and request.depths:
        raise BadInput(
            "usage", "--layers and --long-context are two tables.", because=(), fix="Ask for one of them at a time."
        )
    if request.everything:
        plain = Case("", _with_room(request.settings, request.effort), request.effort)
        layers = [_layers_case(request, count) for count in (0, 8, 16, None)] if has_gpu else []
        deep = replace(request, depths=_USUAL_DEPTHS, on_cpu_too=has_gpu)
        return (plain, *layers, *_depth_cases(deep, has_gpu=has_gpu))
    if request.layers:
        if not has_gpu:
            raise BadInput(
                "no-gpu-here", "Layers can only be moved to a GPU, and none was found here.", because=("NVML lists no GPU",),
                fix="Leave out --layers to measure the processor.",
            )  # fmt: skip
        return tuple(_layers_case(request, layers) for layers in request.layers)
    if request.depths:
        return tuple(_depth_cases(request, has_gpu=has_gpu))
    return (Case("", _with_room(request.settings, request.effort), request.effort),)


def _layers_case(request: Request, layers: int | None) -> Case:
    name = "auto" if layers is None else "all" if layers < 0 else str(layers)
    asked = replace(_with_room(request.settings, request.effort), n_gpu_layers=layers)
    return Case(f"n_gpu_layers {name}", asked, request.effort)


def _depth_cases(request: Request, *, has_gpu: bool) -> Sequence[Case]:
    found = []
    for depth in request.depths:
        effort = replace(request.effort, depth=max(0, depth - request.effort.prompt_tokens))
        asked = _with_room(request.settings, effort)
        if has_gpu:
            found.append(Case(f"{depth} tokens, GPU", asked, effort))
        if not has_gpu or request.on_cpu_too:
            found.append(Case(f"{depth} tokens, CPU", _without_gpu(asked) if has_gpu else asked, effort, on_cpu=True))
    return found


def _without_gpu(asked: Settings) -> Settings:
    """The settings with which nothing is computed on a GPU: without layers alone, prompts still are (op_offload)."""
    return replace(asked, n_gpu_layers=0, op_offload=False)


def _with_room(asked: Settings, effort: Effort) -> Settings:
    """The settings with a context that holds what is measured, where none was asked for; one sequence unless asked."""
    needed = effort.prompt_tokens + effort.depth + max(effort.decode_tokens, effort.answer_tokens) + _ROOM
    parallel = asked.n_parallel or 1
    if asked.n_ctx is not None and asked.n_ctx // parallel < needed:
        raise BadInput(
            "context-too-short",
            f"A context of {asked.n_ctx // parallel} tokens does not hold what is to be measured.",
            because=(
                f"{effort.prompt_tokens} of prompt on {effort.depth} before, {effort.decode_tokens} to decode: {needed}",
            ),
            fix=f"Give --ctx {pad(needed * parallel, 256)} or more, or measure less.",
        )
    return replace(asked, n_ctx=asked.n_ctx or pad(needed * parallel, 256), n_parallel=parallel)
