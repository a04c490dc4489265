"""The GGUF reader: what it reads, what it refuses, and that it never needs more than it says."""

from __future__ import annotations

import math
import random
import struct
import subprocess
import sys
from pathlib import Path

import pytest

import gguf_bytes
from gguf_bytes import LLAMA, TENSORS, pair, text
from vramctl.errors import BadInput
from vramctl.formats import gguf
from vramctl.formats.gguf_split import joined_header, part_names
from vramctl.formats.model import join, require_role
from vramctl.records import ArrayInfo, Unknown


def parse(data: bytes, file_bytes: int | None = None) -> gguf.Header:
    return gguf.parse(data, file_bytes=len(data) if file_bytes is None else file_bytes, where="x.gguf")


def refused(data: bytes, file_bytes: int | None = None) -> BadInput:
    with pytest.raises(BadInput) as caught:
        parse(data, file_bytes)
    error = caught.value
    assert error.what
    assert error.because
    assert error.fix
    assert error.exit_code == 2
    return error


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("version", [2, 3])
def test_reads_both_versions_in_both_byte_orders(order: str, version: int) -> None:
    data = gguf_bytes.file(order=order, version=version)
    header = parse(data)
    assert (header.version, header.byte_order) == (version, "little" if order == "<" else "big")
    assert header.metadata["general.name"] == "Tiny Llama"
    assert header.metadata["llama.block_count"] == 2
    assert header.metadata["llama.attention.head_count_kv"] == (2, 1)
    assert header.metadata["llama.rope.freq_base"] == 10000.0
    assert header.metadata["tokenizer.ggml.tokens"] == ArrayInfo("str", 5)
    assert header.metadata["tokenizer.ggml.scores"] == ArrayInfo("f32", 5000)
    assert [(t.name, t.type, t.shape) for t in header.tensors] == [
        ("token_embd.weight", "Q4_K", (256, 8)),
        ("blk.0.attn_norm.weight", "F32", (256,)),
        ("blk.0.ffn_up.weight", "Q8_0", (256, 4)),
        ("output.weight", "F16", (256, 8)),
    ]
    assert header.tensors[0].data_bytes == 8 * 144
    assert header.tensors[0].offset == header.data_offset
    assert header.data_offset + header.data_bytes == len(data)


def test_agrees_with_the_gguf_package(tmp_path: Path) -> None:
    package = pytest.importorskip("gguf")
    numpy = pytest.importorskip("numpy")
    path = tmp_path / "written.gguf"
    writer = package.GGUFWriter(str(path), "llama")
    writer.add_block_count(7)
    writer.add_token_list([f"token{i}" * (i % 40) + str(i) for i in range(3000)])
    writer.add_array("llama.some_flags", [True, False, True])
    writer.add_float64("llama.wide", 0.1)
    writer.add_tensor("a", numpy.zeros((3, 64), dtype=numpy.float32))
    writer.add_tensor("b", numpy.zeros((5, 32), dtype=numpy.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    header = parse(path.read_bytes())
    reader = package.GGUFReader(str(path))
    assert header.data_offset == reader.data_offset
    assert [(t.name, t.shape, t.data_bytes, t.offset) for t in header.tensors] == [
        (t.name, tuple(int(n) for n in t.shape), int(t.n_bytes), int(t.data_offset)) for t in reader.tensors
    ]
    assert header.metadata["llama.some_flags"] == (True, False, True)
    assert header.metadata["llama.wide"] == 0.1
    assert header.metadata["tokenizer.ggml.tokens"] == ArrayInfo("str", 3000)


@pytest.mark.parametrize("order", ["<", ">"])
def test_steps_over_strings_of_every_length(order: str) -> None:
    words = (
        [b"\0" * n for n in range(300)] + [b"\x01\0\0\0\0\0\0\0", b"x" * 70000] + [b"y" * (n % 90) for n in range(999)]
    )
    data = b"GGUF" + struct.pack(order + "IQQ", 3, 0, 2) + pair("words", "[str]", words, order)
    header = parse(data + pair("after", "u8", 7, order))
    assert header.metadata == {"words": ArrayInfo("str", len(words)), "after": 7}


def test_long_runs_of_short_strings_are_walked_exactly() -> None:
    dice = random.Random(1)
    for _ in range(60):
        longest = dice.choice((1, 10, 63, 64, 300))
        lengths = [dice.randrange(longest + 1) for _ in range(dice.choice((255, 256, 257, 1000, 2000)))]
        body = b"".join(text(dice.randbytes(length)) for length in lengths)
        data = b"GGUF" + struct.pack("<IQQ", 3, 0, 2) + text("words") + struct.pack("<IIQ", 9, 8, len(lengths)) + body
        assert parse(data + pair("after", "u8", 7)).metadata == {"words": ArrayInfo("str", len(lengths)), "after": 7}
        # One length made wrong: the walk is off by then, and never ends where it should.
        at = len(data) - len(body) + sum(8 + length for length in lengths[: len(lengths) // 2])
        broken = data[:at] + struct.pack("<Q", 1 << dice.randrange(33, 64)) + data[at + 8 :]
        assert refused(broken + pair("after", "u8", 7)).code == "gguf-truncated"


@pytest.mark.parametrize("order", ["<", ">"])
def test_every_cut_asks_for_more_and_never_for_too_much(order: str) -> None:
    data = gguf_bytes.file(order=order)
    whole = parse(data)
    for length in range(whole.header_bytes):
        with pytest.raises(gguf.MoreBytesNeeded) as caught:
            parse(data[:length], file_bytes=len(data))
        assert length < caught.value.at_least <= whole.header_bytes
    assert parse(data[: whole.header_bytes], file_bytes=len(data)) == whole


@pytest.mark.parametrize("order", ["<", ">"])
def test_every_truncated_file_is_an_error(order: str) -> None:
    data = gguf_bytes.file(order=order)
    for length in [0, 1, 3, 4, 7, 8, 20, 23, *range(24, len(data), 13)]:
        assert refused(data[:length]).code in ("empty-file", "gguf-truncated", "not-gguf")


def key_value(raw: bytes, count: int = 1) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, 0, count) + raw


def one_tensor(raw: bytes) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + raw.ljust(4096, b"\0")


HUGE = 1 << 63
HOSTILE = {
    "empty": (b"", "empty-file"),
    "magic": (b"GGML" + bytes(100), "not-gguf"),
    "html": (b"<!doctype html><html></html>", "not-gguf"),
    "lfs pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "not-gguf"),
    "version 1": (gguf_bytes.file(version=1), "gguf-version"),
    "version 4": (gguf_bytes.file(version=4), "gguf-version"),
    "version 0": (gguf_bytes.file(version=0), "gguf-version"),
    "key count of 2^63": (b"GGUF" + struct.pack("<IQQ", 3, 0, HUGE), "gguf-too-many-keys"),
    "a million keys": (b"GGUF" + struct.pack("<IQQ", 3, 0, 10**6) + bytes(10**6), "gguf-too-many-keys"),
    "tensor count of 2^63": (b"GGUF" + struct.pack("<IQQ", 3, HUGE, 0), "gguf-too-many-tensors"),
    "more keys than the file has room for": (key_value(b"", 60000), "gguf-truncated"),
    "key length of 2^63": (key_value(struct.pack("<Q", HUGE) + bytes(64)), "gguf-truncated"),
    "key length of 2^64-1": (key_value(struct.pack("<Q", 2**64 - 1) + bytes(64)), "gguf-truncated"),
    "long key": (key_value(text(b"k" * 70000)) + bytes(64), "gguf-bad-length"),
    "string length of 2^63": (key_value(text("k") + struct.pack("<IQ", 8, HUGE) + bytes(64)), "gguf-truncated"),
    "array count of 2^63": (key_value(text("k") + struct.pack("<IIQ", 9, 8, HUGE) + bytes(64)), "gguf-truncated"),
    "number count of 2^61": (key_value(text("k") + struct.pack("<IIQ", 9, 4, 1 << 61) + bytes(64)), "gguf-truncated"),
    "inner length of 2^64-8": (
        key_value(text("k") + struct.pack("<IIQQ", 9, 8, 2, 2**64 - 8) + bytes(64)),
        "gguf-truncated",
    ),
    "array of arrays": (key_value(text("k") + struct.pack("<IIQ", 9, 9, 1) + bytes(64)), "gguf-nested-array"),
    "value type 13": (key_value(text("k") + struct.pack("<I", 13) + bytes(64)), "gguf-bad-value-type"),
    "element type 99": (key_value(text("k") + struct.pack("<IIQ", 9, 99, 1) + bytes(64)), "gguf-bad-value-type"),
    "empty key": (key_value(pair("", "u8", 1) + bytes(9)), "gguf-bad-key"),
    "key that is not UTF-8": (key_value(pair(b"\xff\xfe", "u8", 1) + bytes(9)), "gguf-bad-key"),
    "key twice": (key_value(pair("k", "u8", 1) * 2, 2), "gguf-duplicate-key"),
    "NaN rope base": (gguf_bytes.file([("llama.rope.freq_base", "f32", math.nan)]), "gguf-bad-number"),
    "infinite rope base": (gguf_bytes.file([("llama.rope.freq_base", "f64", math.inf)]), "gguf-bad-number"),
    "alignment 0": (gguf_bytes.file([("general.alignment", "u32", 0)]), "gguf-bad-alignment"),
    "alignment 48": (gguf_bytes.file([("general.alignment", "u32", 48)]), "gguf-bad-alignment"),
    "alignment in words": (gguf_bytes.file([("general.alignment", "str", "32")]), "gguf-bad-alignment"),
    "alignment 2^31": (gguf_bytes.file([("general.alignment", "u32", 1 << 31)]), "gguf-bad-alignment"),
    "tensor name that is not UTF-8": (one_tensor(text(b"\xc3(") + bytes(40)), "gguf-bad-tensor-name"),
    "tensor without a name": (one_tensor(text("") + bytes(40)), "gguf-bad-tensor-name"),
    "tensor with a long name": (one_tensor(text("n" * 300) + bytes(40)), "gguf-bad-length"),
    "tensor twice": (gguf_bytes.file(tensors=[TENSORS[1]] * 2), "gguf-duplicate-tensor"),
    "five dimensions": (gguf_bytes.file(tensors=[("t", (32, 1, 1, 1, 1), 0)]), "gguf-bad-shape"),
    "4 billion dimensions": (one_tensor(text("t") + struct.pack("<I", 2**32 - 1)), "gguf-bad-shape"),
    "no elements": (gguf_bytes.file(tensors=[("t", (32, 0), 0)]), "gguf-bad-shape"),
    "elements beyond 2^63": (
        one_tensor(text("t") + struct.pack("<IQQIQ", 2, 1 << 40, 1 << 40, 0, 0)),
        "gguf-bad-shape",
    ),
    "part of a block": (gguf_bytes.file(tensors=[("t", (100, 4), 12)]), "gguf-bad-shape"),
    "unknown tensor type": (one_tensor(text("t") + struct.pack("<IQIQ", 1, 32, 77, 0)), "gguf-unknown-tensor-type"),
    "removed tensor type": (one_tensor(text("t") + struct.pack("<IQIQ", 1, 32, 31, 0)), "gguf-unknown-tensor-type"),
    "offset past the end": (gguf_bytes.file(offsets=[0, 1152, 1 << 40, 3264]), "gguf-truncated"),
    "offset of 2^64-32": (gguf_bytes.file(offsets=[0, 1152, 2**64 - 32, 3264]), "gguf-truncated"),
    "offset that is not aligned": (gguf_bytes.file(offsets=[0, 1153, 2176, 3264]), "gguf-bad-offset"),
    "data that overlaps": (gguf_bytes.file(offsets=[0, 32, 2176, 3264]), "gguf-bad-offset"),
    "data cut off": (gguf_bytes.file(data=False), "gguf-truncated"),
    "part 3 of 2": (gguf_bytes.file([("split.no", "u16", 2), ("split.count", "u16", 2)]), "gguf-bad-split"),
    "part of no number": (gguf_bytes.file([("split.no", "f32", 0.5), ("split.count", "u16", 2)]), "gguf-bad-split"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_refuses_clearly(name: str) -> None:
    data, code = HOSTILE[name]
    assert refused(data).code == code


def test_a_text_that_is_not_utf8_is_read_with_replacement_marks() -> None:
    assert parse(key_value(text("k") + struct.pack("<I", 8) + text(b"a\xffb"))).metadata == {"k": "a�b"}


def test_a_tensor_without_dimensions_has_one_element() -> None:
    header = parse(gguf_bytes.file(tensors=[("scale", (), 0)]))
    assert (header.tensors[0].shape, header.tensors[0].data_bytes) == ((1,), 4)


def test_tensors_may_be_out_of_order() -> None:
    assert len(parse(gguf_bytes.file(tensors=[("a", (8,), 0), ("b", (8,), 0)], offsets=[32, 0])).tensors) == 2


# Each is run in a child with little address space: what a file claims must cost neither memory nor time.
GREEDY = {
    "keys to the limit": "b'GGUF'+pack('<IQQ',3,0,65536)"
    "+b''.join(pack('<Q8sIQ',8,b'%08d'%i,8,1000)+b'x'*1000 for i in range(65536))",
    "arrays to the limit": "b'GGUF'+pack('<IQQ',3,0,15000)"
    "+b''.join(pack('<Q8sIIQ',8,b'%08d'%i,9,0,4096)+bytes(4096) for i in range(15000))",
    "strings to the limit": "b'GGUF'+pack('<IQQ',3,0,1)+pack('<Q1sIIQ',1,b'k',9,8,4<<20)+bytes(32<<20)",
    "long strings": "b'GGUF'+pack('<IQQ',3,0,1)+pack('<Q1sIIQ',1,b'k',9,8,1<<20)+(pack('<Q',70)+bytes(70))*(1<<20)",
    "more strings": "b'GGUF'+pack('<IQQ',3,0,1)+pack('<Q1sIIQ',1,b'k',9,8,12<<20)+bytes(96<<20)",
    "a text of 100 MiB": "b'GGUF'+pack('<IQQ',3,0,1)+pack('<Q1sIQ',1,b'k',8,100<<20)+bytes(100<<20)",
    "tensors to the limit": "b'GGUF'+pack('<IQQ',3,65536,0)"
    "+b''.join(pack('<Q8sIQIQ',8,b'%08d'%i,1,1,0,0) for i in range(65536))+bytes(1<<20)",
}
CHILD = """
import resource, sys, time
from vramctl.errors import BadInput
from vramctl.formats import gguf
from vramctl.probes.local_model import look_file
now = int(open('/proc/self/statm').read().split()[0]) * 4096  # what the imports took
resource.setrlimit(resource.RLIMIT_AS, (now + (200 << 20),) * 2)
start = time.process_time()
try:
    look_file("x", sys.argv[1])
    print("read")
except BadInput as error:
    print(error.code)
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(time.process_time() - start, peak * 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads its own memory use from /proc")
@pytest.mark.parametrize("name", GREEDY)
def test_hostile_files_cost_little(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(eval(GREEDY[name], {"pack": struct.pack}))
    answer = subprocess.run([sys.executable, "-c", CHILD, str(path)], capture_output=True, text=True, timeout=60)
    assert answer.returncode == 0, answer.stderr
    code, figures = answer.stdout.splitlines()
    seconds, peak = (float(part) for part in figures.split())
    assert code.startswith("gguf-")
    assert seconds < 2
    assert peak < 200 << 20


def test_a_model_is_named_and_counted() -> None:
    data = gguf_bytes.file()
    model = join("x", [parse(data)], names=["x.gguf"], sizes=[len(data)])
    assert (model.name, model.architecture, model.quantization) == ("Tiny Llama", "llama", "Q4_K_M")
    assert (model.layers, model.train_ctx, model.file_bytes) == (2, 4096, len(data))
    assert model.parameters == 256 * (8 + 1 + 4 + 8)
    assert model.meta("embedding_length") == 256
    assert model.metadata["gguf.byte_order"] == "little"


def test_what_the_header_lacks_is_unknown() -> None:
    data = gguf_bytes.file([("general.architecture", "str", "new"), ("new.block_count", "u32", 3)])
    model = join("x", [parse(data)], names=["x"], sizes=[len(data)])
    assert isinstance(model.name, Unknown)
    assert isinstance(model.train_ctx, Unknown)
    assert isinstance(model.quantization, Unknown)
    assert "most tensors are" in model.quantization.reason


@pytest.mark.parametrize(
    ("pairs", "code"),
    [
        ([("llama.block_count", "u32", 2)], "gguf-no-architecture"),
        ([("general.architecture", "u32", 2)], "gguf-no-architecture"),
        ([("general.architecture", "str", "flux")], "gguf-no-layers"),
        ([("general.architecture", "str", "llama"), ("llama.block_count", "u32", 2**32 - 1)], "gguf-no-layers"),
    ],
)
def test_a_header_that_describes_no_model_is_refused(pairs: list[gguf_bytes.Pair], code: str) -> None:
    with pytest.raises(BadInput) as caught:
        join("x", [parse(gguf_bytes.file(pairs))], names=["x"], sizes=[1])
    assert caught.value.code == code


def test_a_name_cannot_write_to_the_terminal() -> None:
    data = gguf_bytes.file([*LLAMA[:1], LLAMA[3], ("general.name", "str", "\x1b[31mred\nname")])
    assert join("x", [parse(data)], names=["x"], sizes=[1]).name == "[31mred name"


@pytest.mark.parametrize(
    ("pairs", "role"),
    [
        ([("general.architecture", "str", "clip"), ("clip.vision.block_count", "u32", 24)], "projector"),
        ([("general.architecture", "str", "llama"), ("general.type", "str", "adapter")], "adapter"),
        ([("general.architecture", "str", "llama"), ("general.type", "str", "imatrix")], "matrix"),
    ],
)
def test_other_files_than_models_are_told_apart(pairs: list[gguf_bytes.Pair], role: str) -> None:
    model = join("x", [parse(gguf_bytes.file(pairs))], names=["x"], sizes=[1])
    assert require_role(model, role) is model  # type: ignore[arg-type]
    with pytest.raises(BadInput) as caught:
        require_role(model, "model")
    assert caught.value.code == "not-a-model"


def test_part_names_follow_llama_cpp() -> None:
    assert part_names("d/x-00002-of-00003.gguf") == tuple(f"d/x-0000{n}-of-00003.gguf" for n in (1, 2, 3))
    assert part_names("x.gguf") == ()
    assert part_names("x-00004-of-00003.gguf") == ()


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_joined_header_of_a_split_set_is_one_model(order: str) -> None:
    parts = gguf_bytes.split(3, order=order)
    headers = [parse(part) for part in parts]
    joined = joined_header(parts, headers)
    size = sum(map(len, parts))
    header = parse(joined, file_bytes=size)
    assert header.split is None
    assert header.data_offset == len(joined)
    assert [(t.name, t.shape, t.type) for t in header.tensors] == [
        (t.name, t.shape, t.type) for one in headers for t in one.tensors
    ]
    assert {k: v for k, v in headers[0].metadata.items() if not k.startswith("split.")} == header.metadata
