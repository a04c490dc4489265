"""Layouts found in the default parameters of real builds; and refusals of whatever was never seen."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vramctl.engines.dry_run.layouts import (
    Facts,
    LayoutUnknown,
    Offsets,
    context_params,
    interfaces,
    model_params,
    was_read,
)


@dataclass(frozen=True)
class Recording:
    """One build: its ggml, what its objects show, and the bytes of its two default parameter structs (hexadecimal)."""

    build: str
    ggml: str
    facts: Facts
    model: str
    context: str

    def model_bytes(self) -> bytes:
        return bytes.fromhex(self.model).ljust(512, b"\xa5")  # what follows the struct is anything

    def context_bytes(self) -> bytes:
        return bytes.fromhex(self.context).ljust(512, b"\xa5")


# Recorded on x86-64 Linux from the wheels named here; padding bytes are whatever was on the stack.
RECORDINGS = (
    Recording(
        "xllamacpp 0.2.8",
        "0.9.4",
        Facts(2, 9, 14, 15, "xxx..x..", 336),
        "00000000000000000000000000000000e70300000100000000000000297f000000000000000000000000000000000000"
        "0000000000000000000000000000000000010000010000",
        "000200000008000000020000010000000400000004000000ffffffffffffffffffffffffffffffff0000000000000000"
        "000080bf000080bf000080bf000080bf00000000000080bf000000000000000000000000000000000100000001000000"
        "00000000000000000000000000000000000101010100",
    ),
    Recording(
        "xllamacpp 2026.4.8672",
        "0.9.11",
        Facts(2, 9, 14, 15, "xxx..x..", 336),
        "00000000000000000000000000000000ffffffff01000000000000007e7f000000000000000000000000000000000000"
        "000000000000000000000000000000000001000000010000",
        "000200000008000000020000010000000400000004000000ffffffffffffffffffffffffffffffff0000000000000000"
        "000080bf000080bf000080bf000080bf00000000000080bf000000000000000000000000000000000100000001000000"
        "00000000000000000000000000000000000101010100",
    ),
    Recording(
        "xllamacpp 2026.5.9294",
        "0.12.0",
        Facts(2, 11, 16, 15, "xxx..x..", 336),
        "00000000000000000000000000000000ffffffff0100000000000000767f000000000000000000000000000000000000"
        "000000000000000000000000000000000001000000010000",
        "0002000000080000000200000100000000000000040000000400000000000000ffffffffffffffffffffffffffffffff"
        "0000000000000000000080bf000080bf000080bf000080bf00000000000080bf00000000000000000000000000000000"
        "010000000100000000000000000000000000000000000000000101010100",
    ),
    Recording(
        "xllamacpp 2026.6.9538",
        "0.13.1",
        Facts(2, 11, 16, 15, "xxx..x..", 336),
        "00000000000000000000000000000000ffffffff0100000000000000f07f000000000000000000000000000000000000"
        "000000000000000000000000000000000001000000010000",
        "000200000008000000020000010000000000000000000000040000000400000000000000ffffffffffffffffffffffff"
        "ffffffff0000000000000000000080bf000080bf000080bf000080bf00000000000080bf000000000000000000000000"
        "0000000000000000010000000100000000000000000000000000000000000000000101010100",
    ),
    Recording(
        "xllamacpp 2026.8.10229",
        "0.18.0",
        Facts(2, 11, 16, 15, "xxx..x..", 336),
        "00000000000000000000000000000000ffffffff01000000010000000000000000000000000000000000000000000000"
        "000000000000000000000000000000000000010000",
        "000200000008000000020000010000000000000000000000040000000400000000000000ffffffffffffffffffffffff"
        "ffffffff0000000000000000000080bf000080bf000080bf000080bf00000000000080bf000000000000000000000000"
        "0000000000000000010000000100000000000000000000000000000000000000000101010100",
    ),
    Recording(
        "xllamacpp 2026.8.10566",
        "0.21.0",
        Facts(2, 11, 16, 15, "xxx..x..", 336),
        "00000000000000000000000000000000ffffffff01000000ffffffff0000000000000000000000000000000000000000"
        "000000000000000000000000000000000000010000",
        "00020000000800000002000001000000000000000000000001000000040000000400000000000000ffffffffffffffff"
        "ffffffffffffffff0000000000000000000080bf000080bf000080bf000080bf00000000000080bf0000000000000000"
        "0000000000000000010000000100000000000000000000000000000000000000000101010100",
    ),
    Recording(
        "llama-cpp-python 0.3.36",
        "0.25.3",
        Facts(2, 11, 16, 15, "xxx..x..", 336),
        "00000000000000000000000000000000ffffffff01000000ffffffff0100000000000000000000000000000000000000"
        "000000000000000000000000000000000000000000000000000001000000",
        "00020000000800000002000001000000000000000000000001000000040000000400000000000000ffffffffffffffff"
        "ffffffffffffffff0000000000000000000080bf000080bf000080bf000080bf00000000000080bf0000000000000000"
        "0000000000000000010000000100000000000000000000000000000000000000000101010100",
    ),
    Recording(
        "xllamacpp 2026.10.11549",
        "0.26.0",
        Facts(3, 11, 16, 15, "xx.x...x", 336),
        "00000000000000000000000000000000ffffffff01000000ffffffff0100000000000000000000000000000000000000"
        "000000000000000000000000000000000000000000000000000001000000",
        "00020000000800000002000001000000000000000000000001000000040000000400000000000000ffffffffffffffff"
        "ffffffffffffffff0000000000000000000080bf000080bf000080bf000080bf00000000000080bf0000000000000000"
        "00000000000000000100000001000000000000000000000000000000000000000000000000000000000101010100",
    ),
)
BY_BUILD = {recording.build: recording for recording in RECORDINGS}
OLD, NEW = BY_BUILD["xllamacpp 0.2.8"], BY_BUILD["xllamacpp 2026.10.11549"]
each_build = pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.build)


def value(offsets: Offsets, raw: bytes | bytearray, name: str) -> int:
    return offsets.read(raw, name)


@each_build
def test_model_defaults_are_found_where_they_are_documented(recording: Recording) -> None:
    raw = recording.model_bytes()
    found = model_params(raw)
    assert value(found, raw, "split_mode") == 1
    assert value(found, raw, "n_gpu_layers") in (-1, 999)
    assert value(found, raw, "main_gpu") == 0
    assert value(found, raw, "tensor_split") == 0
    assert value(found, raw, "no_alloc") == 0
    assert value(found, raw, "use_extra_bufts") == 1
    assert ("load_mode" in found.fields) != ("use_mmap" in found.fields)


@each_build
def test_context_defaults_are_found_where_they_are_documented(recording: Recording) -> None:
    raw = recording.context_bytes()
    found = context_params(raw)
    names = ("n_ctx", "n_batch", "n_ubatch", "n_seq_max", "type_k", "type_v", "flash_attn")
    assert [value(found, raw, name) for name in names] == [512, 2048, 512, 1, 1, 1, -1]
    flags = ("embeddings", "offload_kqv", "op_offload", "swa_full", "kv_unified")
    assert [value(found, raw, name) for name in flags] == [0, 1, 1, 1, 0]


def test_the_number_of_outputs_is_a_parameter_since_june_2026() -> None:
    having = [r.build for r in RECORDINGS if "n_outputs_max" in context_params(r.context_bytes()).fields]
    assert having == [r.build for r in RECORDINGS[3:]]
    assert RECORDINGS[3].build == "xllamacpp 2026.6.9538"


@each_build
@pytest.mark.parametrize("name", ["n_ctx", "type_v", "flash_attn", "offload_kqv", "kv_unified"])
def test_writing_a_parameter_changes_that_one_alone(recording: Recording, name: str) -> None:
    raw = recording.context_bytes()
    found = context_params(raw)
    changed = bytearray(raw)
    found.write(changed, name, not value(found, raw, name))
    offset, kind = found.fields[name]
    differing = {at for at in range(len(raw)) if raw[at] != changed[at]}
    assert differing
    assert differing <= set(range(offset, offset + struct.calcsize(kind)))
    for other in found.fields:
        if other != name:
            assert value(found, changed, other) == value(found, raw, other)


@each_build
def test_a_parameter_that_a_build_has_not_is_refused(recording: Recording) -> None:
    raw = bytearray(recording.model_bytes())
    with pytest.raises(LayoutUnknown, match="no parameter warp_drive"):
        model_params(bytes(raw)).write(raw, "warp_drive", 1)


@each_build
@pytest.mark.parametrize("at", [0, 4, 8, 12])
def test_context_defaults_that_moved_are_refused(recording: Recording, at: int) -> None:
    raw = bytearray(recording.context_bytes())
    raw[at] ^= 1
    with pytest.raises(LayoutUnknown):
        context_params(bytes(raw))


@each_build
def test_an_inserted_field_is_refused_or_found_behind_it(recording: Recording) -> None:
    raw = recording.context_bytes()
    pushed = raw[:16] + struct.pack("<2i", 7, 7) + raw[16:]
    try:
        found = context_params(pushed)
    except LayoutUnknown:
        return
    assert value(found, pushed, "type_k") == 1
    assert value(found, pushed, "offload_kqv") == 1
    assert "n_outputs_max" not in found.fields


@given(st.binary(min_size=512, max_size=512))
def test_noise_is_no_layout(raw: bytes) -> None:
    for search in (model_params, context_params):
        with pytest.raises(LayoutUnknown):
            search(raw)


@each_build
def test_the_function_tables_are_those_of_the_version(recording: Recording) -> None:
    found = interfaces(recording.ggml, recording.facts)
    words = struct.calcsize("P")
    assert found.api == recording.facts.api
    assert len(found.buffer._fields_) == recording.facts.buffer
    assert len(found.backend._fields_) == recording.facts.backend + 3  # guid, device, context
    assert found.buft.is_host.offset // words == recording.facts.buft.rindex("x")
    assert was_read(recording.ggml)


def test_what_cannot_be_seen_goes_by_version() -> None:
    def flags(build: str) -> tuple[bool, bool, bool]:
        found = interfaces(BY_BUILD[build].ggml, BY_BUILD[build].facts)
        return found.copies_kv, found.optimizes, found.groups_experts

    assert flags("xllamacpp 2026.6.9538") == (False, False, False)
    assert flags("xllamacpp 2026.8.10229") == (True, False, False)
    assert flags("llama-cpp-python 0.3.36") == (True, True, False)
    assert flags("xllamacpp 2026.10.11549") == (True, True, True)


def test_a_newer_ggml_of_the_same_layout_is_asked_but_was_not_read() -> None:
    assert interfaces("0.31.2-dev", NEW.facts) == interfaces("0.26.0", NEW.facts)
    assert not was_read("0.31.2-dev")


def test_a_version_between_two_layouts_goes_by_what_its_objects_show() -> None:
    assert interfaces("0.9.11", NEW.facts).buffer is interfaces("0.26.0", NEW.facts).buffer


@pytest.mark.parametrize(
    ("version", "facts", "says"),
    [
        ("0.9.1", OLD.facts, "older than 0.9.4"),
        ("rolling", NEW.facts, "calls its version"),
        ("", NEW.facts, "calls its version"),
        ("0.27.0", replace(NEW.facts, api=4), "API 4"),
        ("0.27.0", replace(NEW.facts, buffer=12), "12 buffer"),
        ("0.27.0", replace(NEW.facts, backend=17), "17 backend"),
        ("0.27.0", replace(NEW.facts, device=16), "16 functions"),
        ("0.27.0", replace(NEW.facts, buft="xxx..x.."), "buffer type"),
        ("0.27.0", replace(NEW.facts, tensor_bytes=352), "352 bytes"),
    ],
)
def test_a_layout_that_was_never_read_is_refused_by_name(version: str, facts: Facts, says: str) -> None:
    with pytest.raises(LayoutUnknown, match=says):
        interfaces(version, facts)
