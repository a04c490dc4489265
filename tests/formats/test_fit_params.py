"""The table of llama-fit-params, as two H200s printed it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from vramctl.engines.fit_params import FitParams, arguments
from vramctl.formats.fit_params import parse_fit_params
from vramctl.records import Build, Placement, Settings, Unknown
from vramctl.units import MIB

REAL = """CUDA0 2113 544 172
CUDA1 2290 480 354
Host 281 0 72
0.00.239.475 I llama_fit_params: printing estimated memory in MiB to stdout (device, model, context, compute) ...
"""


def test_a_real_table_is_read_in_bytes() -> None:
    assert parse_fit_params(REAL) == {
        "CUDA0": (2113 * MIB, 544 * MIB, 172 * MIB),
        "CUDA1": (2290 * MIB, 480 * MIB, 354 * MIB),
        "Host": (281 * MIB, 0, 72 * MIB),
    }


def test_other_lines_are_no_devices() -> None:
    assert parse_fit_params("error: out of memory\nCUDA0 1 2\nCUDA0 a b c\n") == {}


def test_settings_become_the_flags_of_llama_cpp() -> None:
    asked = Settings(
        n_ctx=8192, n_gpu_layers=20, type_k="q8_0", type_v="q8_0", flash_attn="on", tensor_split=(3.0, 1.0),
        n_cpu_moe=1, tensor_overrides=(("ffn_up", "CPU"),), offload_kqv=False, kv_unified=True, swa_full=True,
    )  # fmt: skip
    flags = arguments(asked)
    assert flags[flags.index("-c") + 1] == "8192" and flags[flags.index("-ngl") + 1] == "20"
    assert flags[flags.index("-ts") + 1] == "3,1"
    assert flags[flags.index("-ot") + 1] == r"ffn_up=CPU,blk\.0\.ffn_(up|down|gate|gate_up)_(ch|)exps=CPU"
    assert {"-nkvo", "--swa-full"} <= set(flags)


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_variables_of_the_shell_do_not_change_what_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "llama-fit-params"
    program.write_text('#!/bin/sh\n[ -n "$LLAMA_ARG_CTX_SIZE" ] && exit 1\necho "Host 5 1 2"\n')
    program.chmod(0o755)
    monkeypatch.setenv("LLAMA_ARG_CTX_SIZE", "131072")
    build = Build("a build", (), None, str(program), str(tmp_path), Unknown("not asked"))
    found = FitParams(build, "model.gguf", (), 5 * MIB).place(Settings())
    assert isinstance(found, Placement) and found.host.weights_bytes == 5 * MIB
