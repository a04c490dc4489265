"""What an engine counts, as a placement."""

from __future__ import annotations

from vramctl.engines.reported import placement
from vramctl.records import Placement, Settings, Unknown
from vramctl.records.run import BufferUse, EngineDevice, Loaded


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
