"""What `--emit` prints: golden texts, and a check of every word against what the engines themselves know."""

from __future__ import annotations

import ast
import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from emit_plans import EXL2, EXL3, EXLLAMA, GGUF, LLAMA, LLAMA_CPP_PYTHON, gpu, plan
from hypothesis import given
from hypothesis import strategies as st

from vramctl.errors import BadInput
from vramctl.records import Model, Plan, Tensor
from vramctl.show.emit import EMITTERS, FORMS, emit, program_of
from vramctl.units import GIB, MIB

HERE = Path(__file__).parent
OPTIONS = json.loads((HERE / "data/llama_server_options.json").read_text())["builds"]
SIGNATURES = json.loads((HERE / "data/python_signatures.json").read_text())["modules"]
TABBY_FIELDS = json.loads((HERE / "data/tabbyapi_model_fields.json").read_text())["fields"]

TWO = (gpu(0), gpu(1, free=9 * GIB))
EVERYTHING = replace(
    LLAMA,
    kv_unified=False,
    type_k="q8_0",
    type_v="q4_0",
    flash_attn="on",
    offload_kqv=False,
    swa_full=True,
    n_cpu_moe=7,
    tensor_overrides=((r"blk\.(\d)\.ffn_.*_exps\.weight", "CPU"), ("output.weight", "CUDA1")),
    n_threads=6,
    mmproj="/models/mm proj's.gguf",
    draft="/models/draft.gguf",
    tensor_split=(3.0, 1.5),
    use_mmap=False,
)
EXL2_SETTINGS = replace(EXLLAMA, engine="exllamav2", program="exllamav2")
QUANTISED = replace(EXLLAMA, n_ctx=8000, type_k="8,4", n_parallel=4)

GOLDEN: dict[str, tuple[str, Plan]] = {
    "llama-server": ("llama-server", plan()),
    "llama-server-everything": ("llama-server", plan(EVERYTHING, devices=TWO)),
    "env": ("env", plan()),
    "env-everything": ("env", plan(EVERYTHING, devices=TWO)),
    "llama-swap": ("llama-swap", plan(EVERYTHING, devices=TWO)),
    "llama-cpp-python": ("llama-cpp-python", plan(LLAMA_CPP_PYTHON)),
    "llama-cpp-python-two-gpus": ("llama-cpp-python", plan(LLAMA_CPP_PYTHON, devices=TWO)),
    "llama-cpp-python-no-gpu": ("llama-cpp-python", plan(LLAMA_CPP_PYTHON, devices=())),
    "ollama": ("ollama", plan(replace(LLAMA, program="ollama", n_batch=512))),
    "ollama-everything": ("ollama", plan(replace(EVERYTHING, draft=None), devices=TWO)),
    "exllamav2": ("exllamav2", plan(EXL2_SETTINGS, model=EXL2)),
    "exllamav2-split": (
        "exllamav2",
        plan(
            replace(EXL2_SETTINGS, type_k="q4", flash_attn="off", tensor_split=(1.0, 8.5)),
            model=EXL2,
            devices=TWO,
        ),
    ),
    "exllamav3": ("exllamav3", plan(EXLLAMA, model=EXL3)),
    "exllamav3-quantised": ("exllamav3", plan(replace(QUANTISED, n_cpu_moe=3), model=EXL3, devices=TWO)),
    "tabbyapi": ("tabbyapi", plan(replace(QUANTISED, program="tabbyapi"), model=EXL3)),
    "tabbyapi-split": (
        "tabbyapi",
        plan(
            replace(QUANTISED, program="tabbyapi", tensor_split=(1.0, 2.0)),
            model=EXL3,
            devices=TWO,
        ),
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_each_form_prints_its_golden_text(name: str) -> None:
    form, what = GOLDEN[name]
    assert emit(what, form) == (HERE / f"golden/emit/{name}.txt").read_text()


def test_every_form_of_the_contract_has_an_emitter_and_a_golden_text() -> None:
    contract = "llama-server|llama-cpp-python|env|ollama|llama-swap|exllamav2|exllamav3|tabbyapi"
    assert "|".join(FORMS) == contract
    assert {form for form, _ in GOLDEN.values()} == set(FORMS)
    assert {program_of(form) for form in FORMS} == {program for _, program, _, _ in EMITTERS}


def test_an_unknown_form_is_named_with_the_ones_there_are() -> None:
    with pytest.raises(BadInput) as caught:
        emit(plan(), "vllm")
    assert caught.value.code == "emit-unknown-form"
    assert "llama-swap" in caught.value.because[0]


# llama-server, env, llama-swap


def arguments(text: str) -> list[str]:
    """The words a shell would pass on, without the program."""
    return shlex.split(text.replace(" \\\n", " "), comments=True)[1:]


def variables(text: str) -> dict[str, str]:
    """NAME and value of each line, as a shell reads them."""
    words = shlex.split(text, comments=True)
    return dict(word.split("=", 1) for word in words)


@pytest.mark.parametrize("build", OPTIONS)
def test_llama_server_knows_every_option_and_whether_it_takes_a_value(build: str) -> None:
    for what in (plan(), plan(EVERYTHING, devices=TWO), plan(replace(LLAMA, op_offload=False)), *elsewhere()):
        words = arguments(emit(what, "llama-server"))
        names = []
        while words:
            names.append(words.pop(0))
            takes_value = names[-1] in OPTIONS[build] and OPTIONS[build][names[-1]]["value"]
            assert words or not takes_value, f"{names[-1]} has no value"
            del words[: 1 if takes_value else 0]
        assert set(names) <= set(OPTIONS[build])
        assert len(names) > 3


@pytest.mark.parametrize("build", OPTIONS)
def test_llama_server_reads_every_variable(build: str) -> None:
    known = {option["env"] for option in OPTIONS[build].values()}
    for what in (plan(), plan(EVERYTHING, devices=TWO), *elsewhere()):
        assert set(variables(emit(what, "env"))) <= known


def elsewhere() -> tuple[Plan, ...]:
    """Plans of models that are not local files."""
    references = ("hf:org/repo/m.gguf", "hf:org/repo/m.gguf@v1", "https://host/m.gguf", "ollama:m:8b", "shape:m@Q4_K_M")
    return tuple(plan(model=replace(GGUF, reference=reference, files=())) for reference in references)


def test_options_and_variables_say_the_same() -> None:
    build = OPTIONS["llama.cpp of xllamacpp 2026.10.11549"]
    what = plan(EVERYTHING, devices=TWO)
    words, said = arguments(emit(what, "llama-server")), {}
    while words:
        name = words.pop(0)
        option = build[name]
        said[option["env"]] = words.pop(0) if option["value"] else "0" if name.startswith("--no-") else "1"
    assert said == variables(emit(what, "env"))


def test_a_variable_that_llama_server_does_not_read_is_refused() -> None:
    with pytest.raises(BadInput) as caught:
        emit(plan(replace(LLAMA, op_offload=False)), "env")
    assert caught.value.code == "emit-cannot-express"
    assert "--no-op-offload" in arguments(emit(plan(replace(LLAMA, op_offload=False)), "llama-server"))


def test_the_engines_own_fitting_is_switched_off() -> None:
    words = arguments(emit(plan(), "llama-server"))
    assert words[words.index("--fit") + 1] == "off"
    assert variables(emit(plan(), "env"))["LLAMA_ARG_FIT"] == "off"


def test_without_a_gpu_none_is_used_even_where_one_is_installed() -> None:
    words = arguments(emit(plan(replace(LLAMA, n_gpu_layers=0), devices=()), "llama-server"))
    assert words[words.index("--device") + 1] == "none"
    assert "--split-mode" not in words


def test_an_open_split_becomes_the_free_memory_the_plan_stood_on() -> None:
    words = arguments(emit(plan(devices=TWO), "llama-server"))
    assert words[words.index("--tensor-split") + 1] == f"{11 * GIB},{9 * GIB}"


def test_one_gpu_of_several_is_named_by_its_index() -> None:
    words = arguments(emit(plan(replace(LLAMA, split_mode="none", main_gpu=1), devices=TWO), "llama-server"))
    assert words[words.index("--main-gpu") + 1] == "1"
    assert "--tensor-split" not in words


@pytest.mark.parametrize("pattern", ["a{1,2}", "x=y"])
def test_a_tensor_override_that_llama_cpp_would_cut_is_refused(pattern: str) -> None:
    with pytest.raises(BadInput, match="tensor override"):
        emit(plan(replace(LLAMA, tensor_overrides=((pattern, "CPU"),))), "llama-server")


@pytest.mark.parametrize("form", ["llama-server", "env", "llama-swap", "llama-cpp-python", "ollama"])
def test_a_cache_type_that_llama_cpp_lacks_is_refused(form: str) -> None:
    with pytest.raises(BadInput, match="q6_K"):
        emit(plan(replace(LLAMA_CPP_PYTHON, type_k="q6_K")), form)


@pytest.mark.parametrize("form", ["llama-server", "env"])
@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("hf:org/repo/sub/m.gguf", {"LLAMA_ARG_HF_REPO": "org/repo", "LLAMA_ARG_HF_FILE": "sub/m.gguf"}),
        (
            "hf:org/repo/m.gguf@refs/pr/1",
            {"LLAMA_ARG_MODEL_URL": "https://huggingface.co/org/repo/resolve/refs%2Fpr%2F1/m.gguf"},
        ),
        ("https://host/a.gguf?x=1", {"LLAMA_ARG_MODEL_URL": "https://host/a.gguf?x=1"}),
        ("shape:llama3.1-8b@Q4_K_M", {"LLAMA_ARG_MODEL": "MODEL.gguf"}),
    ],
)
def test_a_model_from_elsewhere_is_given_as_llama_server_fetches_it(
    form: str, reference: str, expected: dict[str, str]
) -> None:
    text = emit(plan(model=replace(GGUF, reference=reference, files=())), form)
    if form == "env":
        assert expected.items() <= variables(text).items()
    else:
        assert set(expected.values()) <= set(arguments(text))


def test_a_hub_repositorys_projector_is_not_loaded_unasked() -> None:
    hub = replace(GGUF, reference="hf:org/repo/m.gguf", files=())
    assert "--no-mmproj" in arguments(emit(plan(model=hub), "llama-server"))
    asked = plan(replace(LLAMA, mmproj="hf:org/repo/mmproj.gguf"), model=hub)
    words = arguments(emit(asked, "llama-server"))
    assert "--no-mmproj" not in words
    assert words[words.index("--mmproj-url") + 1] == "https://huggingface.co/org/repo/resolve/main/mmproj.gguf"


def test_ollamas_blob_is_given_to_llama_server_as_a_file() -> None:
    model = replace(GGUF, reference="ollama:llama3.1:8b", files=("/store/blobs/sha256-abc",))
    assert "/store/blobs/sha256-abc" in arguments(emit(plan(model=model), "llama-server"))
    assert "\nFROM llama3.1:8b\n" in emit(plan(model=model), "ollama")


def test_llama_swap_starts_the_same_server_on_the_port_it_chooses() -> None:
    what = plan(EVERYTHING, devices=TWO)
    ((name, entry),) = yaml.safe_load(emit(what, "llama-swap"))["models"].items()
    assert name == "llama-3.1-8b-instruct-q4_k_m"
    words = arguments(entry["cmd"])
    assert words[:4] == ["--host", "127.0.0.1", "--port", "${PORT}"]
    assert words[4:] == arguments(emit(what, "llama-server"))


@pytest.mark.parametrize("path", ["/m/${env.HOME}.gguf", "/m/${PORT}.gguf", "/m/a\nb.gguf", "/m/\x07.gguf"])
def test_llama_swap_refuses_what_it_would_replace_or_cut(path: str) -> None:
    with pytest.raises(BadInput, match="llama-swap"):
        emit(plan(model=replace(GGUF, files=(path,))), "llama-swap")


def test_a_models_name_cannot_make_llama_swap_look_for_a_variable() -> None:
    text = emit(plan(model=replace(GGUF, name="${env.SECRET}")), "llama-swap")
    assert "${env" not in text


PATHS = st.text(min_size=1, max_size=30).filter(lambda t: "\0" not in t and not t.startswith(("hf:", "http", "shape:")))


@given(path=PATHS)
def test_any_path_comes_out_of_the_quotes_as_it_went_in(path: str) -> None:
    what = plan(LLAMA_CPP_PYTHON, model=replace(GGUF, reference="/x.gguf", files=(path,)))
    assert arguments(emit(what, "llama-server"))[:2] == ["--model", path]
    assert f"LLAMA_ARG_MODEL={path}" in shlex.split(emit(what, "env"), comments=True)
    call = python_calls(emit(what, "llama-cpp-python"))["Llama"]
    assert ast.literal_eval(next(k.value for k in call.keywords if k.arg == "model_path")) == path


@given(name=st.text(max_size=40))
def test_no_name_in_a_models_header_can_leave_its_comment(name: str) -> None:
    plain = emit(plan(), "llama-server").split("\nllama-server ", 1)[1]
    text = emit(plan(model=replace(GGUF, name=name)), "llama-server")
    comments, command = text.split("\nllama-server ", 1)
    assert command == plain
    assert all(line.startswith("#") for line in comments.splitlines())


# Python snippets


def python_calls(source: str) -> dict[str, ast.Call]:
    """Each call of the snippet by its dotted name; the source compiles."""
    compile(source, "emitted", "exec")
    return {ast.unparse(node.func): node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)}


@pytest.mark.parametrize("name", [n for n in GOLDEN if n.startswith(("llama-cpp-python", "exllama"))])
def test_every_keyword_is_one_the_recorded_signature_has(name: str) -> None:
    form, what = GOLDEN[name]
    module = {"llama-cpp-python": "llama_cpp"}.get(form, form)
    signatures = dict(SIGNATURES[module])
    if form == "exllamav3":  # Cache hands further keywords to its layers
        signatures["Cache"] = signatures["Cache"] + signatures["CacheLayer_quant"]
    for called, call in python_calls(emit(what, form)).items():
        class_name, _, method = called.partition(".")
        key = {"model": "Model" if form == "exllamav3" else "ExLlamaV2"}.get(class_name, class_name)
        known = signatures[f"{key}.{method}" if method else key]
        assert {keyword.arg for keyword in call.keywords} <= set(known), called


def test_the_attributes_set_on_the_exllamav2_config_exist() -> None:
    tree = ast.parse(emit(*reversed(GOLDEN["exllamav2-split"])))
    targets = [node.targets[0] for node in ast.walk(tree) if isinstance(node, ast.Assign)]
    names = {target.attr for target in targets if isinstance(target, ast.Attribute)}
    assert names == {"max_seq_len", "max_input_len", "no_sdpa", "no_flash_attn"}
    assert names <= set(SIGNATURES["exllamav2"]["ExLlamaV2Config attributes"])


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("n_parallel", 4),
        ("n_cpu_moe", 3),
        ("tensor_overrides", (("x", "CPU"),)),
        ("flash_attn", "auto"),
        ("mmproj", "/m.gguf"),
        ("draft", "/d.gguf"),
        ("split_mode", "tensor"),
    ],
)
def test_what_llama_has_no_argument_for_is_refused(setting: str, value: object) -> None:
    with pytest.raises(BadInput) as caught:
        emit(plan(replace(LLAMA_CPP_PYTHON, **{setting: value})), "llama-cpp-python")
    assert caught.value.code == "emit-cannot-express"


def test_llama_is_kept_to_the_one_gpu_of_the_plan() -> None:
    call = python_calls(emit(plan(LLAMA_CPP_PYTHON, devices=(gpu(1),)), "llama-cpp-python"))["Llama"]
    said = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    assert (said["split_mode"], said["main_gpu"]) == (0, 1)


def test_a_plan_for_another_program_says_so_above_the_configuration() -> None:
    assert "Planned for llama-server" in emit(plan(replace(LLAMA, n_parallel=1, flash_attn="on")), "llama-cpp-python")
    assert "Planned for" not in emit(plan(LLAMA_CPP_PYTHON), "llama-cpp-python")


def test_a_plan_that_does_not_fit_says_so_above_the_configuration() -> None:
    assert "does not fit" in emit(plan(fits=False), "llama-server")


# Ollama


def test_ollama_counts_the_context_of_one_sequence() -> None:
    assert "\nPARAMETER num_ctx 4096\n" in emit(plan(), "ollama")
    with pytest.raises(BadInput, match="16385 tokens"):
        emit(plan(replace(LLAMA, n_ctx=16385)), "ollama")


def test_ollamas_variables_are_read_by_its_llama_server() -> None:
    known = {option["env"] for build in OPTIONS.values() for option in build.values()}
    text = emit(plan(replace(EVERYTHING, draft=None), devices=TWO), "ollama")
    named = {word.split("=")[0].lstrip("# ") for word in text.splitlines() if "LLAMA_ARG_" in word and "=" in word}
    named = {name for name in named if name.startswith("LLAMA_ARG_")}
    assert "LLAMA_ARG_N_CPU_MOE" in named
    assert named <= known


def test_ollama_is_told_not_to_load_a_draft_head_the_plan_does_not_hold() -> None:
    model: Model = replace(GGUF, architecture="glm4moe", metadata={"glm4moe.nextn_predict_layers": 1})
    assert "\nPARAMETER draft_num_predict 0\n" in emit(plan(model=model), "ollama")
    legacy = replace(GGUF, architecture="qwen35", tensors=(Tensor("mtp.fc.weight", "F16", (1,), 2, 0),))
    assert "\nPARAMETER draft_num_predict 0\n" in emit(plan(model=legacy), "ollama")
    assert "draft_num_predict" not in emit(plan(), "ollama")


@pytest.mark.parametrize(
    ("setting", "value"), [("draft", "/d.gguf"), ("op_offload", False), ("mmproj", "https://host/p.gguf")]
)
def test_what_ollama_has_no_word_for_is_refused(setting: str, value: object) -> None:
    with pytest.raises(BadInput) as caught:
        emit(plan(replace(LLAMA, **{setting: value})), "ollama")
    assert caught.value.code == "emit-cannot-express"


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("hf:org/repo/m-Q4_K_M.gguf", "FROM hf.co/org/repo:m-Q4_K_M.gguf"),
        ("hf:org/repo/m.gguf@v1", "FROM ./m.gguf"),
        ("https://host/dir/m.gguf?x=1", "FROM ./m.gguf"),
        ("shape:llama3.1-8b@Q4_K_M", "FROM ./MODEL.gguf"),
    ],
)
def test_a_modelfile_names_the_model_as_ollama_finds_it(reference: str, expected: str) -> None:
    text = emit(plan(model=replace(GGUF, reference=reference, files=())), "ollama")
    assert expected in text.splitlines()


@pytest.mark.parametrize("path", ["/m/a\nPARAMETER x 1", "/m/a\tb", "/m/x "])
def test_a_path_that_a_modelfile_cannot_hold_is_refused(path: str) -> None:
    with pytest.raises(BadInput, match="ollama cannot express"):
        emit(plan(model=replace(GGUF, files=(path,))), "ollama")


# ExLlama and TabbyAPI


def test_exllama_keeps_free_what_the_plan_may_not_use_each_in_its_own_unit() -> None:
    reserve = 11 * GIB - 11 * GIB * 9 // 10  # less the 256 MiB that ExLlamaV2's loader holds back anyway
    assert f"reserve_vram=[{reserve - 256 * MIB}]" in emit(plan(EXL2_SETTINGS, model=EXL2), "exllamav2")
    assert "reserve_per_device=[1.11]" in emit(plan(EXLLAMA, model=EXL3), "exllamav3")
    assert yaml.safe_load(emit(plan(EXLLAMA, model=EXL3), "tabbyapi"))["model"]["autosplit_reserve"] == [1137]


def test_the_cache_is_a_multiple_of_256_tokens() -> None:
    what = plan(replace(EXLLAMA, n_ctx=8000), model=EXL3)
    assert "max_num_tokens=8192" in emit(what, "exllamav3")
    model = yaml.safe_load(emit(what, "tabbyapi"))["model"]
    assert (model["max_seq_len"], model["cache_size"]) == (8192, 8192)


def test_tabbyapis_model_section_has_known_fields_only() -> None:
    for name in ("tabbyapi", "tabbyapi-split"):
        document = yaml.safe_load(emit(*reversed(GOLDEN[name])))
        assert list(document) == ["model"]
        assert set(document["model"]) <= set(TABBY_FIELDS)


def test_tabbyapi_takes_the_folder_apart() -> None:
    model = yaml.safe_load(emit(plan(EXLLAMA, model=replace(EXL3, reference="/a b/it's: #1")), "tabbyapi"))["model"]
    assert (model["model_dir"], model["model_name"]) == ("/a b", "it's: #1")


@pytest.mark.parametrize(
    ("types", "cache"),
    [
        (("f16", "f16"), "ExLlamaV2Cache"),
        (("q8_0", "q8_0"), "ExLlamaV2Cache_Q8"),
        (("q6", None), "ExLlamaV2Cache_Q6"),
        (("fp16", None), "ExLlamaV2Cache"),
        (("q8_0", "q4_0"), "ExLlamaV2Cache_Q6"),
        (("q4_0", "q4_0"), "ExLlamaV2Cache_Q4"),
    ],
)
def test_each_cache_type_has_its_exllamav2_class(types: tuple[str, str | None], cache: str) -> None:
    settings = replace(EXL2_SETTINGS, type_k=types[0], type_v=types[1])
    assert cache in python_calls(emit(plan(settings, model=EXL2), "exllamav2"))


@pytest.mark.parametrize(
    ("form", "types"),
    [
        ("exllamav2", ("q5_0", "q5_0")),
        ("exllamav2", ("q4", "q8")),
        ("exllamav2", ("bf16", "f16")),
        ("exllamav2", ("fp8", None)),  # the dynamic generator refuses it
        ("exllamav3", ("f16", "q4")),
        ("exllamav3", ("q9", "q9")),
        ("tabbyapi", ("iq4_nl", "q4_0")),
    ],
)
def test_a_cache_that_exllama_lacks_is_refused(form: str, types: tuple[str, str | None]) -> None:
    settings, model = (EXL2_SETTINGS, EXL2) if form == "exllamav2" else (EXLLAMA, EXL3)
    with pytest.raises(BadInput, match="a cache of type"):
        emit(plan(replace(settings, type_k=types[0], type_v=types[1]), model=model), form)


@pytest.mark.parametrize(
    ("form", "what"),
    [
        ("llama-server", plan(EXLLAMA, model=EXL3)),
        ("ollama", plan(EXL2_SETTINGS, model=EXL2)),
        ("exllamav2", plan()),
        ("exllamav3", plan(EXL2_SETTINGS, model=EXL2)),
        ("tabbyapi", plan(EXL2_SETTINGS, model=EXL2)),
        ("tabbyapi", plan(replace(LLAMA, engine=None))),
    ],
)
def test_a_plan_for_another_engine_is_refused(form: str, what: Plan) -> None:
    with pytest.raises(BadInput) as caught:
        emit(what, form)
    assert caught.value.code == "emit-wrong-engine"


@pytest.mark.parametrize("form", ["exllamav3", "tabbyapi"])
@pytest.mark.parametrize(
    ("setting", "value"),
    [("mmproj", "/m"), ("draft", "/d"), ("tensor_overrides", (("x", "CPU"),)), ("offload_kqv", False), ("n_ctx", None)],
)
def test_what_exllama_has_no_place_for_is_refused(form: str, setting: str, value: object) -> None:
    with pytest.raises(BadInput) as caught:
        emit(plan(replace(EXLLAMA, **{setting: value}), model=EXL3), form)
    assert caught.value.code == "emit-cannot-express"


def test_exllama_without_a_gpu_is_refused() -> None:
    with pytest.raises(BadInput, match="without a GPU"):
        emit(plan(EXLLAMA, model=EXL3, devices=()), "exllamav3")


def test_exllamas_own_reserve_is_not_gone_below() -> None:
    what = replace(plan(EXL2_SETTINGS, model=EXL2, devices=TWO), budgets=(11 * GIB, 9 * GIB))
    assert f"reserve_vram=[{192 * MIB}, {64 * MIB}]" in emit(what, "exllamav2")
    what = replace(plan(EXLLAMA, model=EXL3, devices=TWO), budgets=(11 * GIB, 9 * GIB))
    assert "reserve_per_device=[0.5, 0.5]" in emit(what, "exllamav3")


@pytest.mark.parametrize(
    ("form", "model", "expected"),
    [
        ("exllamav2", EXL2, "gpu_split=[3, 8.5]"),
        ("exllamav3", EXL3, "use_per_device=[3, 8.5]"),
        ("tabbyapi", EXL3, "gpu_split: [3, 8.5]"),
    ],
)
def test_a_split_in_gibibytes_reaches_exllama_as_it_was_given(form: str, model: Model, expected: str) -> None:
    settings = replace(EXLLAMA, engine=form if form != "tabbyapi" else "exllamav3", tensor_split=(3.0, 8.5))
    assert expected in emit(plan(settings, model=model, devices=TWO), form)


def test_a_plan_for_the_second_gpu_alone_says_how_to_hide_the_first() -> None:
    assert "CUDA_VISIBLE_DEVICES=1 " in emit(plan(EXLLAMA, model=EXL3, devices=(gpu(1),)), "exllamav3")
    assert "\n# CUDA_VISIBLE_DEVICES=1\n" in emit(plan(devices=(gpu(1),)), "ollama")
    vulkan = replace(gpu(0), name="Vulkan0", backend="vulkan")
    assert "\n# LLAMA_ARG_DEVICE=Vulkan0\n" in emit(plan(devices=(vulkan,)), "ollama")
