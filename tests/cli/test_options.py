"""Options become the record Settings: what is not given stays open."""

from __future__ import annotations

from typing import Any

import click
import pytest
from click.testing import CliRunner

from vramctl.cli.options import settings_options
from vramctl.cli.output import stream_page
from vramctl.records import Settings
from vramctl.show.settings_text import ALL_EXPERTS


def settings_of(*arguments: str, several: bool = False) -> tuple[Settings, tuple[int, ...]]:
    """The settings and contexts that a command with the shared options is given."""
    seen: list[tuple[Settings, tuple[int, ...]]] = []

    @click.command()
    @settings_options(several_contexts=several)
    def command(settings: Settings, contexts: tuple[int, ...] = ()) -> int:
        seen.append((settings, contexts))
        return 0

    result = CliRunner().invoke(command, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return seen[0]


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        ([], {}),
        (["--ctx", "32k"], {"n_ctx": 32768}),
        (["-c", "8192", "-np", "4"], {"n_ctx": 8192, "n_parallel": 4}),
        (["--batch", "2k", "--ubatch", "512"], {"n_batch": 2048, "n_ubatch": 512}),
        (["--ngl", "20"], {"n_gpu_layers": 20}),
        (["--ngl", "0"], {"n_gpu_layers": 0}),
        (["--ngl", "all"], {"n_gpu_layers": -1}),
        (["--ngl", "auto"], {}),
        (["--kv-type", "Q8_0"], {"type_k": "q8_0", "type_v": "q8_0"}),
        (["--kv-type", "q8_0,q4_0"], {"type_k": "q8_0", "type_v": "q4_0"}),
        (["--kv-type", "8,4"], {"type_k": "8", "type_v": "4"}),
        (["--flash-attn", "off"], {"flash_attn": "off"}),
        (["--no-kv-offload"], {"offload_kqv": False}),
        (["--no-op-offload"], {"op_offload": False}),
        (["--no-mmap"], {"use_mmap": False}),
        (["--swa-full"], {"swa_full": True}),
        (["--kv-unified"], {"kv_unified": True}),
        (["--no-kv-unified"], {"kv_unified": False}),
        (["--split", "row", "--main-gpu", "1"], {"split_mode": "row", "main_gpu": 1}),
        (["--tensor-split", "3,1"], {"tensor_split": (3.0, 1.0)}),
        (["--n-cpu-moe", "12"], {"n_cpu_moe": 12}),
        (["--cpu-moe"], {"tensor_overrides": (ALL_EXPERTS,)}),
        (["-ot", "a=CPU,b=CUDA0", "-ot", "c=CPU"], {"tensor_overrides": (("a", "CPU"), ("b", "CUDA0"), ("c", "CPU"))}),
        (["--threads", "8"], {"n_threads": 8}),
        (["--mmproj", "m.gguf", "--draft", "shape:x@Q8_0"], {"mmproj": "m.gguf", "draft": "shape:x@Q8_0"}),
        (["--engine", "ollama", "--for", "tabbyapi"], {"engine": "ollama", "program": "tabbyapi"}),
    ],
)
def test_what_is_asked_is_in_the_record_and_nothing_else(arguments: list[str], fields: dict[str, Any]) -> None:
    assert settings_of(*arguments)[0] == Settings(**fields)


def test_several_contexts_keep_their_order_and_come_once() -> None:
    assert settings_of("--ctx", "8k,4k,8192", several=True) == (Settings(), (8192, 4096))


def test_no_contexts_are_no_contexts() -> None:
    assert settings_of(several=True) == (Settings(), ())


class _Stream:
    """A terminal, as far as a page asks."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True),
        ({"TERM": "dumb"}, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_colours_are_for_terminals_that_want_them(
    environment: dict[str, str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TERM", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert stream_page(_Stream()).colour is expected  # type: ignore[arg-type]


@pytest.mark.parametrize(("columns", "width"), [("20", 60), ("80", 80), ("100", 100), ("300", 120)])
def test_the_page_is_60_to_120_columns_wide(columns: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert stream_page(_Stream(), colour=False).width == width  # type: ignore[arg-type]
