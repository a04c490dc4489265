"""What ExLlama cannot do is refused, not left out of the sum; what does not fit says what would."""

from __future__ import annotations

from typing import Any

import pytest

from plan.exllama_models import gpu, llama
from vramctl.errors import BadInput
from vramctl.planning.exllama import plan_with_exllama
from vramctl.planning.request import Request
from vramctl.planning.witnesses import Witnesses
from vramctl.records import Host, Plan, Settings, Unknown

NO_HOST = Host(Unknown("not asked"), Unknown("not asked"), Unknown("not asked"), "test")


def plan(gib: float | None, *, kind: str = "exl3", witness: str = "auto", **asked: Any) -> Plan:
    devices = () if gib is None else (gpu(gib),)
    request = Request(model="test", settings=Settings(**asked), witness=witness)
    program = "exllamav3" if kind == "exl3" else "exllamav2"
    with Witnesses(max_devices=1, say=lambda _: None) as witnesses:
        return plan_with_exllama(request, llama(kind), program, devices, NO_HOST, witnesses)


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        ({"n_gpu_layers": 10}, "--ngl 10"),
        ({"offload_kqv": False}, "--no-kv-offload"),
        ({"mmproj": "x.gguf"}, "--mmproj"),
        ({"draft": "x.gguf"}, "--draft"),
        ({"n_cpu_moe": 3}, "--n-cpu-moe"),
        ({"tensor_overrides": (("a", "CPU"),)}, "--override-tensor"),
        ({"n_ubatch": 256}, "--ubatch"),
        ({"split_mode": "row"}, "--split"),
    ],
)
def test_a_setting_of_llama_cpp_is_refused(asked: dict[str, Any], word: str) -> None:
    with pytest.raises(BadInput) as raised:
        plan(12, **asked)
    assert raised.value.code == "exllama-has-no-such-setting"
    assert word in raised.value.what


def test_a_dry_run_that_was_insisted_on_is_refused() -> None:
    with pytest.raises(BadInput) as raised:
        plan(12, witness="dry-run")
    assert raised.value.code == "exllama-cannot-be-asked"


def test_no_gpu_is_said_to_be_what_is_missing() -> None:
    with pytest.raises(BadInput) as raised:
        plan(None)
    assert raised.value.code == "exllama-needs-a-gpu"


@pytest.mark.parametrize(("kind", "types"), [("exl2", ("q8", "q4")), ("exl3", ("fp16", "4")), ("exl3", ("8", "fp16"))])
def test_cache_types_that_cannot_be_mixed_are_refused(kind: str, types: tuple[str, str]) -> None:
    with pytest.raises(BadInput) as raised:
        plan(12, kind=kind, type_k=types[0], type_v=types[1])
    assert raised.value.code == "exllama-cache-type"


def test_a_context_that_is_too_long_is_answered_with_the_longest() -> None:
    found = plan(12, n_ctx=1 << 20)
    assert not found.fits
    assert found.advice[0].fix == f"--ctx {found.max_ctx}"
    assert isinstance(found.max_ctx, int)
    assert plan(12, n_ctx=found.max_ctx).fits


def test_a_card_without_room_for_any_context_is_told_the_least_need() -> None:
    found = plan(4)
    assert not found.fits and found.max_ctx == 0 and found.settings.n_ctx == 4096
    assert "GGUF" in found.advice[0].fix


def test_what_flash_attention_would_mend_says_so() -> None:
    assert "Install flash-attn 2.5.7 or newer." in [piece.fix for piece in plan(12, kind="exl2").advice]
