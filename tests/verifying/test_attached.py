"""What runs already: an Ollama by its own sizes, a process by its devices."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from vramctl.cli.main import main
from vramctl.errors import CouldNotTell
from vramctl.records import Device, DeviceUse, HostUse, Placement, Unknown
from vramctl.records.verification import COULD_NOT_TELL, CPU_ONLY, MISMATCH, ON_GPU, PARTIAL, DeviceWatch, Verification
from vramctl.show.schemas import schema
from vramctl.units import GIB, MIB
from vramctl.verifying import verify_pid, verify_server
from vramctl.verifying.attached import _judge, _verdict
from vramctl.verifying.attached_plan import plan_of

LOADED: list[dict[str, Any]] = []


class Handler(BaseHTTPRequestHandler):
    """Answers as Ollama's /api/version and /api/ps do."""

    def do_GET(self) -> None:
        answers: dict[str, Any] = {"/api/version": {"version": "0.33.0"}, "/api/ps": {"models": LOADED}}
        found = answers.get(self.path)
        body = json.dumps(found).encode()
        self.send_response(200 if found is not None else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def ollama() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    LOADED.clear()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("vram", "verdict", "code"),
    [(8 * GIB, ON_GPU, 0), (3 * GIB, PARTIAL, 1), (0, CPU_ONLY, 1), ("much", COULD_NOT_TELL, 3)],
)
def test_an_ollama_is_taken_at_its_word(
    ollama: str, vram: object, verdict: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    LOADED.append({"name": "llama3.1:8b", "size": 8 * GIB, "size_vram": vram})
    assert main(["verify", ollama, "--json"]) == code
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, schema("verify"))
    assert document["verdict"] == verdict
    assert document["words"].startswith("llama3.1:8b: ")


@pytest.mark.parametrize(
    ("vrams", "verdict"),
    [((8, 8), ON_GPU), ((8, 3), PARTIAL), ((3, 8, 0), CPU_ONLY), ((8, "much"), COULD_NOT_TELL), (("much", 3), PARTIAL)],
)
def test_of_several_loaded_models_all_are_named_and_the_worst_decides(
    ollama: str, vrams: tuple[object, ...], verdict: str
) -> None:
    for number, vram in enumerate(vrams):
        held = vram * GIB if isinstance(vram, int) else vram
        LOADED.append({"name": f"model-{number}", "size": 8 * GIB, "size_vram": held})
    found = verify_server(ollama)
    assert found.verdict == verdict
    assert all(f"model-{number}: " in found.words for number in range(len(vrams)))


def test_an_ollama_without_a_model_could_not_tell(ollama: str) -> None:
    with pytest.raises(CouldNotTell) as raised:
        verify_server(ollama)
    assert raised.value.code == "no-model-loaded"


def test_a_process_without_a_model_is_no_model_on_the_processor() -> None:
    with pytest.raises(CouldNotTell) as raised:
        verify_pid(os.getppid())
    assert raised.value.code == "no-model-in-process"


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/PID/maps")
def test_a_process_with_a_model_and_without_gpu_libraries_runs_on_the_processor(tmp_path: Path) -> None:
    model = tmp_path / "model.gguf"
    model.write_bytes(bytes(8192))
    script = (
        f"import mmap, time; f = open({str(model)!r}, 'rb'); m = mmap.mmap(f.fileno(), 0, access=1); "
        "print(1, flush=True); time.sleep(30)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            found = verify_pid(process.pid)
        finally:
            process.kill()
    assert found.verdict in {CPU_ONLY, COULD_NOT_TELL}
    assert isinstance(found.planned, Unknown)  # its command line names no model


def test_settings_are_not_asked_of_what_runs_already(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "http://me:secret@127.0.0.1:1", "--ctx", "512", "--json"]) == 2
    told = capsys.readouterr().out
    assert "n_ctx" in told and "secret" not in told


def test_a_process_that_is_gone_is_said_to_be() -> None:
    with pytest.raises(CouldNotTell) as raised:
        verify_pid(2**22 + 1)
    assert raised.value.code == "no-such-process"


PLANNED = Placement((DeviceUse("CUDA0", 4 * GIB, GIB, 512 * MIB, 512 * MIB),), HostUse(0, 0, 0, 0), "gpu")


@pytest.mark.parametrize(
    ("held", "verdict"),
    [(6 * GIB, ON_GPU), (6 * GIB + 200 * MIB, ON_GPU), (3 * GIB, MISMATCH), (250 * MIB, CPU_ONLY), (0, CPU_ONLY)],
)
def test_what_a_process_holds_is_set_beside_the_plan(held: int, verdict: str) -> None:
    watch = DeviceWatch(
        name="CUDA0", total_bytes=24 * GIB, before_bytes=0, loaded_bytes=held, peak_bytes=held, process_bytes=held
    )
    assert _verdict(PLANNED, [watch], frozenset({"cuda"}), None)[0] == verdict


def test_without_a_list_of_processes_it_could_not_tell() -> None:
    unseen = Unknown("WDDM")
    watch = DeviceWatch(
        name="CUDA0", total_bytes=GIB, before_bytes=0, loaded_bytes=0, peak_bytes=0, process_bytes=unseen
    )
    assert _verdict(PLANNED, [watch], frozenset({"cuda"}), None)[0] == COULD_NOT_TELL
    assert _verdict(PLANNED, [watch], frozenset(), None)[0] == CPU_ONLY


SHAPE = ("llama-server", "-m", "shape:qwen2.5-0.5b@Q4_K_M", "-c", "4096")
GPU = Device("CUDA0", "RTX 3060", 12 * GIB, 12 * GIB, "asked")


def held_by(size: int) -> DeviceWatch:
    return DeviceWatch(
        name="CUDA0", total_bytes=12 * GIB, before_bytes=0, loaded_bytes=size, peak_bytes=size, process_bytes=size
    )


def judged(command: Sequence[str], extra: int) -> Verification:
    """The verdict on a process that holds so many bytes more than its command line takes."""
    planned = plan_of(command, {}, Path, (GPU,))
    assert not isinstance(planned, Unknown)
    size = sum(use.used_bytes for use in planned.plan.placement.devices if isinstance(use.used_bytes, int))
    return _judge(planned, 1, "llama-server", (held_by(size + extra),), (GPU,), "")


def test_memory_of_something_else_is_not_taken_for_the_model_s_where_the_engine_chose_the_layers() -> None:
    assert judged(SHAPE, 100 * MIB).verdict == ON_GPU
    found = judged(SHAPE, 2 * GIB)
    assert found.verdict == COULD_NOT_TELL
    assert "Something beside this model" in found.words
    assert judged((*SHAPE, "-ngl", "10"), 2 * GIB).verdict == PARTIAL
    assert judged((*SHAPE, "-ngl", "99"), 2 * GIB).verdict == ON_GPU


def test_cache_types_that_many_builds_have_no_kernel_for_are_said_of_a_running_server() -> None:
    found = judged((*SHAPE, "-ctk", "q5_1", "-ctv", "q5_1"), 0)
    assert [one.id for one in found.findings] == ["quantized-kv-no-kernel"]
    assert found.findings[0].severity == "warning"
    assert judged((*SHAPE, "-ctk", "q8_0", "-ctv", "q8_0"), 0).findings == ()


@pytest.mark.parametrize("words", [("-ts", "much"), ("-ot", "nothing"), ("-c", "long"), ("-ngl", "many")])
def test_a_command_line_that_cannot_be_read_is_no_plan_and_no_crash(words: tuple[str, ...]) -> None:
    planned = plan_of((*SHAPE, *words), {}, Path, (GPU,))
    assert isinstance(planned, Unknown) or words == ("-ngl", "many")
