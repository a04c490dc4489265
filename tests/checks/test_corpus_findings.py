"""The first finding of every shared log; those with a known diagnosis against it."""

from __future__ import annotations

import csv
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from log_corpus import FOLDER, needs_corpus, read
from vramctl.checks.log_findings import findings
from vramctl.checks.modes import BY_ID
from vramctl.records.finding import INFO
from vramctl.show.explain_json import explain_document
from vramctl.show.explain_text import explain_text
from vramctl.show.explain_verdict import verdict
from vramctl.show.page import Page
from vramctl.show.schemas import schema

LOGS = sorted(path.name for path in FOLDER.glob("*.log")) if FOLDER.is_dir() else []


def first(name: str) -> str:
    """The id of the first finding that is not a note, `healthy` where there is none."""
    serious = [one for one in findings(read(name)) if one.severity != INFO]
    return serious[0].id if serious else "healthy"


def labels() -> list[dict[str, Any]]:
    with (FOLDER / "diagnosed" / "labels.tsv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


@needs_corpus
def test_first_findings_equal_the_known_diagnoses() -> None:
    judged = [row for row in labels() if row["label"] in BY_ID or row["label"] == "healthy"]
    right = [
        row["case"]
        for row in judged
        if first(f"diagnosed/{row['case']}.log") in {row["label"], *(row["alternatives"] or "").split(",")}
    ]
    assert len(judged) == 13
    assert len(right) >= 12, sorted({row["case"] for row in judged} - set(right))


FIRST = {
    "ik-discu397-00-2gpu-server-qwen3-32b.log": "healthy",
    "ik-issue103-00-windows-3gpu-perplexity.log": "results-not-numbers",
    "ik-issue230-00-cpu-deepseek-abort.log": "engine-crash",
    "ik-issue271-03-mainline-cpu-print_info.log": "healthy",
    "ik-issue305-00-4gpu-partial-27of62.log": "partial-offload",
    "ik-issue388-06-cpu-bitnet-segfault.log": "engine-crash",
    "ik-issue389-00-cpu-qwen3moe-abort.log": "engine-crash",
    "ik-issue398-00-kaggle-2xT4-cuda-error.log": "xid-errors",
    "ik-issue398-09-gdb-cuda-error-tail.log": "xid-errors",
    "ik-issue437-08-2x4090-oom-segfault.log": "multi-gpu-uneven",
    "ik-issue437-11-2x4090-server-ok.log": "healthy",
    "ik-issue437-33-2x4090-server-63of95.log": "healthy",
    "ik-issue437-54-2x4090-aborted.log": "context-full",
    "ik-issue437-56-2x4090-oom-cuda-error.log": "out-of-memory",
    "ik-issue485-02-2xRTX6000Ada-illegal-memory.log": "xid-errors",
    "ik-issue500-01-2x3090-insane-oom.log": "multi-gpu-uneven",
    "ik-issue503-00-vulkan-7900xtx-segfault.log": "engine-crash",
    "ik-issue514-03-5090-no-kernel-image.log": "gpu-arch-not-in-build",
    "ik-issue514-09-mainline-4090-5090-llama-cli.log": "healthy",
    "ik-issue538-00-cpu-server-assert.log": "engine-crash",
    "ik-issue596-02-windows-3gpu-mmq-fatal.log": "engine-crash",
    "ik-issue629-01-windows-2gpu-sweep.log": "healthy",
    "ik-pull239-02-16x3090-perplexity.log": "healthy",
    "ik-pull260-00-16x3090-oom.log": "multi-gpu-uneven",
    "ik-pull430-00-0of95-override-illegal-memory.log": "xid-errors",
    "kyuz0-bench-devstral-devicelost.log": "gpu-hang",
    "kyuz0-bench-glm-rocm-error.log": "engine-crash",
    "kyuz0-bench-llama33-rocm-error.log": "engine-crash",
    "kyuz0-gemma3-27b-bf16-amdvlk-oom.log": "buffer-too-large-for-driver",
    "kyuz0-gemma3-27b-bf16-rocm6.4.2.log": "healthy",
    "kyuz0-kimi-72b-rocm6.4.2.log": "healthy",
    "kyuz0-kimi-72b-vulkan-amdvlk-oom.log": "buffer-too-large-for-driver",
    "kyuz0-llama4-scout-rocm7beta.log": "gpu-hang",
    "kyuz0-llama4-scout-vulkan-radv.log": "healthy",
    "kyuz0-qwen3-235b-vulkan-radv.log": "healthy",
    "kyuz0-qwen3-coder-bf16-rocm7rc.log": "healthy",
    "kyuz0-rpc.log": "gpu-hang",
    "ollama-0.1.28-rtx-a4000-mistral-json.log": "healthy",
    "ollama-0.11.10-rocm-strixhalo-gptoss-gpu-fault-journald.log": "ollama-runner-crash",
    "ollama-0.12-journald-debug-cpu-llama3.2-wrapped.log": "ollama-no-gpu-found",
    "ollama-0.18.0-macos-m4pro-startup.log": "healthy",
    "ollama-0.3-jetson-orin-load-timeout-journald.log": "ollama-load-timeout",
    "ollama-0.3.14-windows-cpu-startup.log": "ollama-no-gpu-found",
    "ollama-0.3.7-docker-cpu-exit127-libllama.log": "cuda-runtime-libs-missing-linux",
    "ollama-0.33.2-docker-cpu-driver-too-old.log": "ollama-driver-filter",
    "ollama-0.5.4-windows-rtx4060-phi4-crash.log": "ollama-runner-crash",
    "ollama-0.9.6-windows-rocm-780m-gemma3-27b-crash.log": "rocm-unsupported-gfx",
    "ollama-gin-only-500-generate.log": "requests-failed",
    "umbc-ollama-0.13.5-1xL40S-11-loads.log": "model-on-slow-disk",
    "umbc-ollama-0.13.5-1xL40S-embed-and-70b.log": "models-evict-each-other",
    "umbc-ollama-0.13.5-1xL40S-two-loads.log": "model-on-slow-disk",
    "umbc-ollama-0.13.5-2xL40S-142069-startup.log": "healthy",
    "umbc-ollama-0.13.5-2xL40S-142075.log": "model-on-slow-disk",
    "umbc-ollama-0.13.5-2xL40S-142436.log": "ollama-context-default",
    "umbc-ollama-0.13.5-2xQuadroRTX6000-142332.log": "ollama-context-default",
}


@needs_corpus
@pytest.mark.parametrize("name", sorted(FIRST))
def test_the_first_finding_of_a_shared_log(name: str) -> None:
    assert first(name) == FIRST[name]


@needs_corpus
@pytest.mark.parametrize("name", LOGS)
def test_a_shared_log_is_a_valid_document_and_about_one_screen(name: str) -> None:
    log = read(name)
    found = findings(log)
    Draft202012Validator(schema("explain")).validate(explain_document(log, found, verdict(log, found).words))
    text = explain_text(log, found, Page())
    assert len(text.splitlines()) <= 60
    assert all(len(line) <= 80 for line in text.splitlines())
