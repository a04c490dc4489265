"""What an engine counts, as a placement."""

from __future__ import annotations

import pytest

from vramctl.engines.endings import witnessed
from vramctl.engines.reported import graph_splits, placement
from vramctl.records import Placement, Settings, Unknown
from vramctl.records.run import BufferUse, EngineDevice, Loaded, LogLine


def loaded(*buffers: BufferUse) -> Loaded:
    devices = (EngineDevice("CUDA0", "GPU", "gpu", 8, 8), EngineDevice("CPU", "CPU", "cpu", 8, 8))
    return Loaded(
        vehicle="binding", engine="test", version="1", model="m", settings=Settings(), buffers=buffers, devices=devices
    )


def test_weights_that_a_processor_keeps_in_a_layout_of_its_own_are_in_system_memory() -> None:
    found = placement(loaded(
        BufferUse("CPU", "CPU", True, 390, 25, 41), BufferUse("CPU_REPACK", "CPU", False, 29, 0, 0),
    ))  # fmt: skip
    assert isinstance(found, Placement)
    assert found.devices == ()
    assert (found.host.weights_bytes, found.host.kv_bytes, found.kv_operations) == (419, 25, "cpu")


def test_pinned_buffers_are_system_memory_and_the_rest_is_the_devices() -> None:
    found = placement(loaded(
        BufferUse("CUDA0", "CUDA0", False, 400, 100, 20), BufferUse("CUDA_Host", "CUDA0", True, 30, 0, 5),
    ))  # fmt: skip
    assert isinstance(found, Placement)
    assert [(use.name, use.weights_bytes, use.kv_bytes) for use in found.devices] == [("CUDA0", 400, 100)]
    assert (found.host.weights_bytes, found.kv_operations) == (30, "gpu")
    assert isinstance(found.host.output_bytes, Unknown)
    assert found.host.used_bytes == 35, "what the engine counts as compute has the output in it"


def test_without_a_count_nothing_is_said() -> None:
    found = Loaded(vehicle="ollama", engine="test", version="1", model="m", settings=Settings())
    assert isinstance(placement(found), Unknown)


@pytest.mark.parametrize(
    ("line", "splits"),
    [
        ("llama_context: graph splits = 2", 2),
        ("llama_context: graph splits = 183 (with bs=512), 98 (with bs=1)", 98),
        ("sched_reserve: graph: nodes = 999, splits = 66, input objects = 97, input tensors = 163", 66),
        (
            "x: graph (pp bs=8, tg bs=1): nodes = 9 / 9, splits = 39 / 5, input objects = 1 / 1, input tensors = 1 / 1",
            5,
        ),
    ],
)
def test_the_splits_of_a_decode_step_count(line: str, splits: int) -> None:
    lines = ("load_tensors: offloaded 33/33 layers to GPU", line)
    assert graph_splits(witnessed(tuple(LogLine(0.0, text) for text in lines)).events) == splits
