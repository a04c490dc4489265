"""A shared library as its bytes say: imports and what of them is found, GPU code inside, symbol versions. Never loaded."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from vramctl.checks.cuda_versions import cuda_of_ptx
from vramctl.errors import BadInput
from vramctl.formats.binary_window import BadBinary, Buffer, Window
from vramctl.formats.elf import MAGIC as ELF_MAGIC
from vramctl.formats.elf import Elf, read_elf
from vramctl.formats.fatbin import read_fatbins
from vramctl.formats.hip import read_hip_targets
from vramctl.formats.pe import MAGIC as PE_MAGIC
from vramctl.formats.pe import Pe, read_pe
from vramctl.probes.json_facts import as_dict, as_int, as_names, as_reason, as_text, as_texts, as_version
from vramctl.probes.library_search import WHOLE, Found, Places, search_elf, search_pe
from vramctl.records.facts import Fatbin, Library, Version
from vramctl.records.unknown import Absent, Unknown
from vramctl.world.files import mapped
from vramctl.world.machine import World

Json = Any
HYBRID = b"nvcudart_hybrid64"
# CUDA's runtime and maths libraries by the name under which a program asks for them.
CUDA_LIBRARY = re.compile(
    r"^(?:lib)?(?:cudart|cublasLt|cublas|cufft|curand|cusparse|cusolver|nvrtc|cudnn|nccl)[^/\\]*?"
    r"(?:\.so\.(\d+)(?:\.\d+)*|64_(\d+)\.dll)$",
    re.IGNORECASE,
)
# Those whose number is CUDA's major version (cufft, curand, cudnn and nccl count for themselves).
_TELLS_MAJOR = re.compile(r"^(?:lib)?(?:cudart|cublas|cublasLt)(?:\.so\.|64_)", re.IGNORECASE)
_BACKEND = re.compile(r"ggml-(cuda|hip|rocm|vulkan|sycl|metal|opencl|rpc|cann|musa|cpu)", re.IGNORECASE)
_TOOLKIT_IN_PATH = re.compile(r"cuda[-/\\]v?(\d{1,2})\.(\d{1,2})", re.IGNORECASE)
_DEBUG_RUNTIME = re.compile(r"^(ucrtbased|vcruntime\d+(_1)?d|msvcp\d+d)\.dll$", re.IGNORECASE)
_GLIBC = re.compile(r"^GLIBC_(\d+(?:\.\d+)+)$")
_GLIBCXX = re.compile(r"^GLIBCXX_(\d+(?:\.\d+)+)$")
_DEFINED_GLIBCXX = re.compile(rb"GLIBCXX_(\d+\.\d+\.\d+)\0")


def look_at_library(world: World, path: str, places: Places) -> Library | Unknown | Absent:
    """One library; the question's key is `library PATH`."""
    found = world.ask(f"library {path}", lambda: inspect_library(path, places))
    return found if isinstance(found, Unknown | Absent) else library_from(path, found)


def inspect_library(path: str, places: Places) -> Json:
    """What the file's bytes say, as JSON; `{"unknown": reason}` where it is unreadable or no library."""
    try:
        with mapped(path, limit=WHOLE) as file:
            start = bytes(file.buffer[:4])
            if start == ELF_MAGIC:
                answer = _elf_facts(path, file.buffer, places)
            elif start[:2] == PE_MAGIC:
                answer = _pe_facts(path, file.buffer, places)
            else:
                return {"unknown": "it is neither an ELF nor a PE file"}
            answer["bytes"] = file.file_bytes
            return answer
    except BadInput as error:
        kind = "absent" if error.code == "file-not-found" else "unknown"
        return {kind: error.because[0] if error.because else error.what}
    except BadBinary as error:
        return {"unknown": str(error)}


def _elf_facts(path: str, data: Buffer, places: Places) -> dict[str, Json]:
    elf = read_elf(data)
    found = search_elf(path, elf, places)
    answer = {"form": "elf", "machine": elf.machine, "needed": list(elf.needed), "runpath": [*elf.rpath, *elf.runpath]}
    answer |= _searched(found)
    for key, pattern in (("glibc", _GLIBC), ("glibcxx", _GLIBCXX)):
        if versions := [as_version(m[1]) for name in elf.versions if (m := pattern.match(name))]:
            answer[key] = ".".join(map(str, max(version for version in versions if isinstance(version, tuple))))
    if "libstdc++.so.6" in found.found and "glibcxx" in answer:
        answer["glibcxx_found"] = _defined_glibcxx(found.found["libstdc++.so.6"])
    answer |= _cuda_code(data, elf.sections.get(".nv_fatbin"))
    answer |= _hip_code(data, elf)
    return answer


def _pe_facts(path: str, data: Buffer, places: Places) -> dict[str, Json]:
    pe = read_pe(data)
    answer: dict[str, Json] = {
        "form": "pe",
        "machine": pe.machine,
        "needed": list(pe.imports),
        "delayed": list(pe.delayed),
    }
    answer |= _searched(search_pe(path, pe.imports, places))
    answer |= _cuda_code(data, pe.sections.get(".nv_fatb"))
    answer["hybrid_runtime"] = _names_hybrid(data, pe)
    return answer


def _searched(found: Found) -> dict[str, Json]:
    return {"found": found.found, "missing": found.missing, "elsewhere": found.elsewhere}


def _cuda_code(data: Buffer, section: tuple[int, int] | None) -> dict[str, Json]:
    if section is None or section[1] == 0:
        return {}
    try:
        code = read_fatbins(data, *section)
    except BadBinary as error:
        return {"fatbins": {"unknown": str(error)}}
    rows = [[one.kind, ".".join(map(str, one.arch)), one.variant, one.isa and ".".join(map(str, one.isa)), one.count]
            for one in code.programs]  # fmt: skip
    answer: dict[str, Json] = {"fatbins": rows}
    if code.compiler:
        answer["compiler"] = ".".join(map(str, code.compiler))
    return answer


def _hip_code(data: Buffer, elf: Elf) -> dict[str, Json]:
    section = elf.sections.get(".hip_fatbin")
    if section is None or section[1] == 0:
        return {}
    try:
        return {"gfx": list(read_hip_targets(data, *section))}
    except BadBinary as error:
        return {"gfx": {"unknown": str(error)}}


def _names_hybrid(data: Buffer, pe: Pe) -> bool:
    offset, size = pe.sections.get(".rdata", (0, 0))
    return Window(data).find(HYBRID, offset, offset + size) >= 0


def _defined_glibcxx(path: str) -> Json:
    """The highest GLIBCXX symbol version that a libstdc++ defines."""
    try:
        with mapped(path, limit=WHOLE) as file:
            offset, size = read_elf(file.buffer).sections.get(".dynstr", (0, 0))
            names = _DEFINED_GLIBCXX.findall(Window(file.buffer).part(offset, min(size, 8 << 20)))
    except (BadInput, BadBinary):
        return None
    return max((name.decode() for name in names), key=lambda name: tuple(map(int, name.split("."))), default=None)


def library_from(path: str, told: Json) -> Library | Unknown:
    """The record of a `library PATH` answer; what has another form than expected is Unknown."""
    answer = as_dict(told)
    if not answer:
        return Unknown(f"library {path}: the recording's answer has another form")
    needed = (*as_names(answer.get("needed")), *as_names(answer.get("delayed")))
    fatbins = _programs(answer.get("fatbins", []))
    runpath = as_names(answer.get("runpath"))
    version = _built_with(as_version(answer.get("compiler")), fatbins, runpath)
    major = _cuda_major(needed, answer.get("hybrid_runtime") is True, version, fatbins)
    debug = any(_DEBUG_RUNTIME.match(name) for name in needed)
    form = str(answer.get("form", "elf"))
    return Library(
        path=path,
        form=form,
        file_bytes=size if isinstance(size := as_int(answer.get("bytes")), int) else 0,
        machine=as_text(answer.get("machine")),
        needed=needed,
        missing=as_names(answer["missing"]) if "missing" in answer else Unknown("its imports were not searched"),
        found=as_texts(answer.get("found")),
        elsewhere=as_texts(answer.get("elsewhere")),
        runpath=runpath,
        fatbins=fatbins,
        gfx=as_names(gfx) if isinstance(gfx := answer.get("gfx", []), list) else as_reason(gfx),
        glibc=_asked(answer, "glibc"),
        glibcxx=_asked(answer, "glibcxx"),
        glibcxx_found=as_version(answer.get("glibcxx_found")),
        cuda_major=major,
        cuda_version=version,
        backend=_backend(path, fatbins, major, answer),
        debug_build=debug if form == "pe" else Unknown("an ELF file does not tell"),
        hybrid_runtime=answer.get("hybrid_runtime") is True,
    )


def _asked(answer: dict[str, Json], key: str) -> Version | Unknown | Absent:
    return as_version(answer[key]) if key in answer else Absent(f"it asks for no {key.upper()} version")


def _programs(told: Json) -> tuple[Fatbin, ...] | Unknown:
    if not isinstance(told, list):
        return as_reason(told)
    found = []
    for row in told:
        if isinstance(row, list) and len(row) == 5:
            kind, arch, variant, isa, count = row[0], as_version(row[1]), row[2], as_version(row[3]), as_int(row[4])
            if isinstance(arch, tuple):
                found.append(
                    Fatbin(
                        kind=str(kind),
                        arch=arch,
                        isa=isa if isinstance(isa, tuple) else None,
                        count=count if isinstance(count, int) else 1,
                        variant=str(variant or ""),
                    )
                )
    return tuple(found)


def _built_with(
    compiler: Version | Unknown, fatbins: Sequence[Fatbin] | Unknown, runpath: Sequence[str]
) -> Version | Unknown | Absent:
    """CUDA's version of the build: what its compiled code says, else the toolkit folder in its search path, else what its
    PTX needs."""
    if isinstance(compiler, tuple):
        return compiler
    for path in runpath:
        if found := _TOOLKIT_IN_PATH.search(path):
            return int(found[1]), int(found[2])
    if isinstance(fatbins, Unknown):
        return fatbins
    isas = [cuda for one in fatbins if one.isa is not None and (cuda := cuda_of_ptx(one.isa)) is not None]
    return max(isas, default=Unknown("nothing in it tells the toolkit's version"))


def _cuda_major(
    needed: Sequence[str], hybrid: bool, version: Version | Unknown | Absent, fatbins: Sequence[Fatbin] | Unknown
) -> int | Unknown | Absent:
    majors = [int(number) for name in needed if _TELLS_MAJOR.match(name) and (number := cuda_number(name)) is not None]
    majors = [major // 10 if major >= 100 else major for major in majors]
    if hybrid:
        return max([13, *majors])
    if majors:
        return max(majors)
    has_code = not isinstance(fatbins, Unknown) and bool(fatbins)
    if has_code and isinstance(version, tuple):
        return version[0]
    return Unknown("its CUDA version is not told by its bytes") if has_code else Absent("it is no CUDA library")


def cuda_number(name: str) -> str | None:
    """The number in a CUDA library's name (`12` of libcublas.so.12, `110` of cudart64_110.dll); None for others."""
    found = CUDA_LIBRARY.match(name)
    return None if found is None else found[1] or found[2]


def _backend(path: str, fatbins: Sequence[Fatbin] | Unknown, major: object, answer: dict[str, Json]) -> str:
    named = _BACKEND.search(path.replace("\\", "/").rsplit("/", 1)[-1])
    if named:
        name = named[1].lower()
        return "hip" if name == "rocm" else name
    if isinstance(fatbins, Unknown) or fatbins or isinstance(major, int):
        return "cuda"
    return "hip" if answer.get("gfx") else ""


Inspect = Callable[[str], Library | Unknown | Absent]
