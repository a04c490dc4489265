"""Every form of MODEL, found or refused."""

from __future__ import annotations

import json
import os
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import file_server
import gguf_bytes
from vramctl.errors import BadInput, VramctlError
from vramctl.formats import gguf
from vramctl.probes import ollama_store, remote_model
from vramctl.probes.models import look_model
from vramctl.records import Model
from vramctl.world import http

WHOLE = gguf_bytes.file()
PARTS = gguf_bytes.split(3)
NAMES = [f"big-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
PROJECTOR = gguf_bytes.file(
    [("general.architecture", "str", "clip"), ("general.type", "str", "mmproj"), ("clip.vision.block_count", "u32", 3)]
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("OLLAMA_MODELS", "HF_TOKEN", "HF_ENDPOINT", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(ollama_store, "SERVICE_STORE", str(tmp_path / "service"))
    monkeypatch.setattr(http, "FIRST_PAUSE_SECONDS", 0.001)
    return tmp_path


def refused(reference: str, **options: Any) -> VramctlError:
    with pytest.raises(VramctlError) as caught:
        look_model(reference, **options)
    assert caught.value.because
    assert caught.value.fix
    return caught.value


# Files


def test_a_file(here: Path) -> None:
    (here / "x.gguf").write_bytes(WHOLE)
    model = look_model("x.gguf")
    assert (model.reference, model.kind, model.name) == ("x.gguf", "gguf", "Tiny Llama")
    assert (model.files, model.header, model.file_bytes) == (("x.gguf",), None, len(WHOLE))


def test_a_file_may_have_any_name(here: Path) -> None:
    (here / "sha256-0a").write_bytes(WHOLE)
    assert look_model(str(here / "sha256-0a")).architecture == "llama"


@pytest.mark.parametrize("given", NAMES)
def test_any_part_stands_for_its_set(here: Path, given: str) -> None:
    for name, data in zip(NAMES, PARTS, strict=True):
        (here / name).write_bytes(data)
    model = look_model(given)
    assert model.files == tuple(NAMES)
    assert model.file_bytes == sum(map(len, PARTS))
    assert [tensor.name for tensor in model.tensors] == [f"blk.{n}.ffn_up.weight" for n in range(3)]
    assert model.name == "Tiny Llama"


@pytest.mark.parametrize("missing", NAMES)
def test_a_missing_part_is_named(here: Path, missing: str) -> None:
    for name, data in zip(NAMES, PARTS, strict=True):
        if name != missing:
            (here / name).write_bytes(data)
    error = refused(next(name for name in NAMES if name != missing))
    assert error.code == "split-incomplete"
    assert missing in error.what


@pytest.mark.parametrize(
    ("numbers", "code"), [([0, 0, 2], "split-mixed-up"), ([0, 2, 1], "split-mixed-up"), ([1, 0, 2], "split-renamed")]
)
def test_parts_in_a_circle_or_in_disorder_are_refused(here: Path, numbers: list[int], code: str) -> None:
    for name, data in zip(NAMES, gguf_bytes.split(3, numbers=numbers), strict=True):
        (here / name).write_bytes(data)
    assert refused(NAMES[0]).code == code


@pytest.mark.skipif(sys.platform == "win32", reason="needs links")
def test_links_to_one_part_are_no_set(here: Path) -> None:
    (here / NAMES[0]).write_bytes(PARTS[0])
    for name in NAMES[1:]:
        (here / name).symlink_to(NAMES[0])
    assert refused(NAMES[0]).code == "split-mixed-up"


def test_a_renamed_part_is_refused(here: Path) -> None:
    (here / "model.gguf").write_bytes(PARTS[0])
    assert refused("model.gguf").code == "split-renamed"


def test_parts_with_the_same_tensor_are_refused(here: Path) -> None:
    keys: list[gguf_bytes.Pair] = [("split.count", "u16", 2)]
    for number in (0, 1):
        data = gguf_bytes.file([*gguf_bytes.LLAMA, ("split.no", "u16", number), *keys])
        (here / f"x-0000{number + 1}-of-00002.gguf").write_bytes(data)
    assert refused("x-00001-of-00002.gguf").code == "split-duplicate-tensor"


def test_a_set_that_lacks_tensors_is_refused(here: Path) -> None:
    for name, data in zip(NAMES, gguf_bytes.split(4)[:3], strict=True):
        changed = data.replace(gguf_bytes.pair("split.count", "u16", 4), gguf_bytes.pair("split.count", "u16", 3))
        (here / name).write_bytes(changed)
    assert refused(NAMES[0]).code == "split-incomplete"


def test_a_projector_is_no_model_but_a_projector(here: Path) -> None:
    (here / "mmproj.gguf").write_bytes(PROJECTOR)
    error = refused("mmproj.gguf")
    assert error.code == "not-a-model"
    assert "--mmproj" in error.fix
    assert look_model("mmproj.gguf", expect="projector").layers == 3
    (here / "x.gguf").write_bytes(WHOLE)
    assert refused("x.gguf", expect="projector").code == "not-a-projector"


@pytest.mark.parametrize(
    ("reference", "advice"),
    [
        ("Model-Q4_K_S.gguf", "Did you mean"),
        ("llama3.1-8b", "shape:llama3.1-8b"),
        ("llama3.1-8b@Q4_K_M", "shape:llama3.1-8b@Q4_K_M"),
        ("llama3.1:8b", "ollama:llama3.1:8b"),
        ("org/repo", "hf:org/repo/FILE.gguf"),
        ("hf.co/org/repo", "hf:org/repo/FILE.gguf"),
        ("org/repo/x.gguf", "hf:org/repo/x.gguf"),
        ("", "shape:"),
        ("~nobody-of-that-name/x.gguf", "Check"),
        ("file:///x.gguf", "path"),
    ],
)
def test_what_is_not_there_gets_advice(here: Path, reference: str, advice: str) -> None:
    (here / "model-Q4_K_M.gguf").touch()
    error = refused(reference)
    assert advice in error.fix
    assert error.exit_code == 2


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX only")
def test_a_pipe_is_refused_at_once(here: Path) -> None:
    os.mkfifo(here / "pipe.gguf")
    start = time.monotonic()
    assert refused("pipe.gguf").code == "not-a-file"
    assert time.monotonic() - start < 1


# Folders


def test_a_folder_with_one_model(here: Path) -> None:
    (here / "d").mkdir()
    (here / "d" / "x.gguf").write_bytes(WHOLE)
    (here / "d" / "mmproj-x.gguf").write_bytes(PROJECTOR)
    (here / "d" / "README.md").touch()
    assert look_model("d").files == (str(Path("d", "x.gguf")),)


def test_a_folder_with_a_split_set(here: Path) -> None:
    for name, data in zip(NAMES, PARTS, strict=True):
        (here / name).write_bytes(data)
    assert len(look_model(str(here)).files) == 3


def test_a_folder_with_several_models_lists_them(here: Path) -> None:
    for name in ("a.gguf", "b.gguf"):
        (here / name).write_bytes(WHOLE)
    error = refused(".")
    assert error.code == "several-models"
    assert {Path(line).name for line in error.because} == {"a.gguf", "b.gguf"}


@pytest.mark.parametrize(
    ("files", "advice"),
    [
        ([], "config.json"),
        (["pytorch_model.bin"], "convert"),
        (["x.gguf.part"], "download"),
        (["q4/x.gguf"], "Did you mean"),
    ],
)
def test_a_folder_without_a_model_says_so(here: Path, files: list[str], advice: str) -> None:
    (here / "d").mkdir()
    for name in files:
        (here / "d" / name).parent.mkdir(exist_ok=True)
        (here / "d" / name).touch()
    error = refused("d")
    assert error.code == "no-model-in-folder"
    assert advice in error.fix


def safetensors(names: dict[str, list[int]]) -> bytes:
    table, offset = {}, 0
    for name, shape in names.items():
        size = 2
        for one in shape:
            size *= one
        table[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(table).encode()
    return struct.pack("<Q", len(text)) + text + bytes(offset)


CONFIG = {"model_type": "llama", "num_hidden_layers": 2, "max_position_embeddings": 4096}


def hf_folder(here: Path) -> Path:
    folder = here / "My-Model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "model-1.safetensors").write_bytes(safetensors({"a.weight": [4, 8]}))
    (folder / "model-2.safetensors").write_bytes(safetensors({"b.weight": [4, 8]}))
    return folder


@pytest.mark.parametrize("index", [False, True])
def test_a_hugging_face_folder(here: Path, index: bool) -> None:
    folder = hf_folder(here)
    (folder / "adapter_model.safetensors").write_bytes(safetensors({"lora": [1]}))
    if index:
        table = {"weight_map": {"a.weight": "model-1.safetensors", "b.weight": "model-2.safetensors"}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(table))
    model = look_model(str(folder))
    assert (model.kind, model.name, model.parameters) == ("safetensors", "My-Model", 64)
    assert [Path(name).name for name in model.files] == ["model-1.safetensors", "model-2.safetensors"]
    assert look_model(str(folder / "model-1.safetensors")).parameters == 64
    assert refused(str(folder), expect="projector").code == "not-a-projector"


def test_a_missing_shard_is_named(here: Path) -> None:
    folder = hf_folder(here)
    table = {"weight_map": {"a.weight": "model-1.safetensors", "c.weight": "../model-3.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(table))
    error = refused(str(folder))
    assert error.code == "shards-missing"
    assert "model-3.safetensors" in error.what


def test_an_older_quantisation_file_is_read(here: Path) -> None:
    folder = hf_folder(here)
    (folder / "quantize_config.json").write_text(json.dumps({"bits": 4, "group_size": 64, "quant_method": "gptq"}))
    assert look_model(str(folder)).quantization == "4 bit, group 64"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda d: (d / "config.json").unlink(), "no-config"),
        (lambda d: (d / "config.json").write_text("{"), "bad-json"),
        (lambda d: (d / "config.json").write_text("[]"), "bad-json"),
        (lambda d: (d / "model-2.safetensors").write_bytes(b""), "empty-file"),
        (lambda d: (d / "model-2.safetensors").write_bytes(safetensors({"a.weight": [1]})), "duplicate-tensor"),
        (lambda d: (d / "x.gguf").write_bytes(WHOLE), "several-models"),
    ],
)
def test_a_broken_folder_is_refused(here: Path, change: Any, code: str) -> None:
    folder = hf_folder(here)
    change(folder)
    assert refused(str(folder)).code == code


# The web


@pytest.fixture
def site(here: Path) -> Iterator[file_server.Site]:
    files = dict(zip(NAMES, PARTS, strict=True))
    with file_server.serving({"x.gguf": WHOLE, **files, "repo/resolve/main/sub/x.gguf": WHOLE}) as site:
        yield site


def big() -> bytes:
    """A file whose header takes about 1 MiB."""
    tokens = [f"token {index}" for index in range(60_000)]
    return gguf_bytes.file([*gguf_bytes.LLAMA[:-2], ("tokenizer.ggml.tokens", "[str]", tokens)], gguf_bytes.TENSORS)


def same(model: Model, data: bytes) -> None:
    """The kept header is the file's own."""
    assert model.header is not None
    assert data.startswith(model.header)
    header = gguf.parse(model.header, file_bytes=model.file_bytes, where="kept")
    assert header.data_offset == len(model.header)
    assert model.files == ()


def test_an_address(site: file_server.Site) -> None:
    model = look_model(site.url("/redirect/ok/x.gguf?download=true"))
    assert (model.name, model.file_bytes) == ("Tiny Llama", len(WHOLE))
    same(model, WHOLE)


def test_a_long_header_is_fetched_in_steps_over_broken_connections(site: file_server.Site) -> None:
    site.files["big.gguf"] = big()
    site.drops = 1
    told: list[tuple[int, int]] = []
    model = look_model(site.url("/drop/big.gguf"), progress=lambda done, of: told.append((done, of)))
    same(model, site.files["big.gguf"])
    assert len(site.requests) == 3
    assert told


def test_weights_stay_where_they_are(site: file_server.Site) -> None:
    site.files["heavy.gguf"] = gguf_bytes.file(tensors=[("w", (1 << 20, 16), 1)])
    look_model(site.url("/ok/heavy.gguf"))
    assert site.asked() == remote_model.STEPS[0]


def test_a_header_is_fetched_once(site: file_server.Site) -> None:
    site.files["big.gguf"] = big()
    first = look_model(site.url("/ok/big.gguf"))
    before = site.asked()
    second = look_model(site.url("/ok/big.gguf"))
    assert site.asked() - before == remote_model.STEPS[0]
    assert second == first
    site.etag = '"two"'
    look_model(site.url("/ok/big.gguf"))
    assert site.asked() > before + 2 * remote_model.STEPS[0]


def test_a_damaged_cache_is_no_cache(site: file_server.Site, here: Path) -> None:
    site.files["big.gguf"] = big()
    first = look_model(site.url("/ok/big.gguf"))
    (kept,) = (here / "cache" / "vramctl" / "headers").iterdir()
    kept.write_bytes(kept.read_bytes()[:400_000])
    assert look_model(site.url("/ok/big.gguf")) == first


def test_a_cache_that_cannot_be_written_is_no_error(site: file_server.Site, here: Path) -> None:
    (here / "cache").touch()
    assert look_model(site.url("/ok/x.gguf")).name == "Tiny Llama"


@pytest.mark.parametrize("given", NAMES)
def test_a_split_set_on_the_web(site: file_server.Site, given: str) -> None:
    model = look_model(site.url(f"/ok/{given}"))
    assert model.file_bytes == sum(map(len, PARTS))
    assert model.header is not None
    header = gguf.parse(model.header, file_bytes=model.file_bytes, where="kept")
    assert [tensor.name for tensor in header.tensors] == [tensor.name for tensor in model.tensors]


def test_a_missing_part_on_the_web_is_named(site: file_server.Site) -> None:
    del site.files[NAMES[1]]
    error = refused(site.url(f"/ok/{NAMES[0]}"))
    assert error.code == "url-not-found"
    assert NAMES[1] in error.what


@pytest.mark.parametrize(
    ("path", "code"),
    [("/html/x.gguf", "web-page"), ("/norange/x.gguf", "no-range-requests"), ("/ok/none.gguf", "url-not-found")],
)
def test_other_answers_are_errors(site: file_server.Site, path: str, code: str) -> None:
    assert refused(site.url(path)).code == code


def test_a_file_that_changes_between_steps_is_refused(site: file_server.Site) -> None:
    site.files["big.gguf"] = big()
    assert refused(site.url("/changing/big.gguf")).code == "remote-changed"


def test_a_remote_file_that_is_no_gguf_is_refused(site: file_server.Site) -> None:
    site.files["x.bin"] = b"PK\x03\x04" + bytes(1 << 20)
    assert refused(site.url("/ok/x.bin")).code == "not-gguf"


def test_the_hub(site: file_server.Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", site.url("") + "/")
    assert look_model("hf:ORG/repo/sub/x.gguf").name == "Tiny Llama"
    site.files["repo/resolve/refs%2Fpr%2F1/sub/x.gguf"] = WHOLE
    assert look_model("hf:ORG/repo/sub/x.gguf@refs/pr/1").name == "Tiny Llama"


def test_the_hubs_token_is_sent_to_the_hub_alone(site: file_server.Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", site.url(""))
    site.token = "secret"
    assert refused("hf:ORG/repo/sub/x.gguf").code == "not-allowed"
    monkeypatch.setenv("HF_TOKEN", "secret\n")
    assert look_model("hf:ORG/repo/sub/x.gguf").name == "Tiny Llama"
    look_model(site.url("/ok/x.gguf", "localhost"))
    assert site.requests[-1][2] is None


@pytest.mark.parametrize(
    "name", ["ORG", "ORG/repo", "ORG/repo/", "ORG/repo@main", "ORG/repo/model.safetensors", "", "/x"]
)
def test_a_hub_name_without_a_file_is_explained(here: Path, name: str) -> None:
    error = refused(f"hf:{name}")
    assert error.code == "bad-hub-name"
    assert "FILE.gguf" in error.fix


# Ollama's store


def store(
    folder: Path, name: str = "registry.ollama.ai/library/tiny/latest", *, model: bytes = WHOLE, **blobs: bytes
) -> None:
    digests = {}
    (folder / "blobs").mkdir(parents=True, exist_ok=True)
    for number, (kind, data) in enumerate({"model": model, **blobs}.items()):
        digests[kind] = f"{number}" * 64
        (folder / "blobs" / f"sha256-{digests[kind]}").write_bytes(data)
    layers = [
        {"mediaType": f"application/vnd.ollama.image.{kind}", "digest": f"sha256:{digest}"}
        for kind, digest in digests.items()
    ]
    manifest = folder / "manifests" / name
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.write_text(json.dumps({"layers": layers}))


@pytest.mark.parametrize("place", ["home/.ollama/models", "service", "elsewhere"])
def test_ollamas_stores(here: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    store(here / place, projector=PROJECTOR, params=b'{"num_ctx": 8192, "stop": ["a"]}')
    if place == "elsewhere":
        monkeypatch.setenv("OLLAMA_MODELS", str(here / place))
    model = look_model("ollama:tiny")
    assert (model.name, len(model.files)) == ("Tiny Llama", 1)
    assert model.metadata["ollama.params.num_ctx"] == 8192
    (projector,) = model.metadata["ollama.projectors"]  # type: ignore[misc]
    assert look_model(str(projector), expect="projector").architecture == "clip"
    assert look_model("ollama:Tiny:LATEST").files == model.files


def test_a_name_that_the_store_lacks_gets_near_ones(here: Path) -> None:
    store(here / "service")
    error = refused("ollama:tiny:8b")
    assert error.code == "ollama-model-not-found"
    assert "ollama:tiny:latest" in error.fix
    assert refused("ollama:../x").code == "bad-ollama-name"


def test_a_missing_blob_is_named(here: Path) -> None:
    store(here / "service")
    (here / "service" / "blobs" / f"sha256-{'0' * 64}").unlink()
    assert refused("ollama:tiny").code == "ollama-blob-missing"


def test_a_broken_manifest_is_refused(here: Path) -> None:
    store(here / "service")
    (here / "service/manifests/registry.ollama.ai/library/tiny/latest").write_text("{")
    assert refused("ollama:tiny").code == "bad-ollama-manifest"


def test_an_mlx_model_is_refused(here: Path) -> None:
    store(here / "service")
    digest = "sha256:" + "0" * 64
    layers = [{"mediaType": "application/vnd.ollama.image.tensor", "digest": digest}]
    path = here / "service/manifests/registry.ollama.ai/library/tiny/latest"
    path.write_text(json.dumps({"layers": layers}))
    assert refused("ollama:tiny").code == "ollama-no-gguf"


# Shapes


def test_a_shape_is_a_model_with_a_header(here: Path) -> None:
    model = look_model("shape:llama3.1-8b@Q4_K_M")
    assert (model.architecture, model.layers, model.quantization) == ("llama", 32, "Q4_K_M")
    assert model.header is not None
    header = gguf.parse(model.header, file_bytes=model.file_bytes, where="shape")
    assert header.tensors == model.tensors


def test_a_shape_without_a_quantisation_is_explained(here: Path) -> None:
    error = refused("shape:llama3.1-8b")
    assert isinstance(error, BadInput)
    assert "shape:llama3.1-8b@Q4_K_M" in error.fix
