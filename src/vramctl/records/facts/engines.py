"""What the doctor sees of engines: what is installed, what they list, what a server has loaded, where a model landed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vramctl.records.facts.basics import NOT_SEEN, Count, Flag, Text, Version
from vramctl.records.facts.libraries import Library
from vramctl.records.unknown import Absent, Unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineDevice:
    """A device that the engine itself lists."""

    name: str
    description: str
    kind: str
    """gpu, igpu, cpu, accel"""
    backend: str
    free_bytes: Count = NOT_SEEN
    total_bytes: Count = NOT_SEEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """One installed engine.

    `kind` is llama-cpp-python, xllamacpp, llama.cpp, ollama, exllamav2 or exllamav3; `devices` what it lists when
    started in a child (its own
    interpreter, the environment in question); `log` what it printed on the way; `ended` "" or how the child ended
    (crash, SIGILL, timeout).
    """

    kind: str
    path: str
    version: Text = NOT_SEEN
    python: Text = NOT_SEEN
    libraries: tuple[Library, ...] = ()
    devices: tuple[EngineDevice, ...] | Unknown = NOT_SEEN
    supports_gpu_offload: Flag = NOT_SEEN
    system_info: Text = NOT_SEEN
    log: tuple[str, ...] = ()
    ended: Text = NOT_SEEN
    import_error: Text = NOT_SEEN
    package: Mapping[str, str] = field(default_factory=dict)
    """Of its metadata: installer, wheel tag, origin (sdist built here, wheel index), build options."""

    @property
    def backends(self) -> frozenset[str]:
        """The backends whose libraries it has."""
        return frozenset(library.backend for library in self.libraries if library.backend)


@dataclass(frozen=True, slots=True, kw_only=True)
class Torch:
    """PyTorch and what stands on it, in the interpreter in question; asked in a child."""

    version: Text = NOT_SEEN
    cuda_version: Version | Unknown | Absent = NOT_SEEN
    """Absent: a CPU build."""
    architectures: tuple[str, ...] | Unknown = NOT_SEEN
    cxx11_abi: Flag = NOT_SEEN
    cuda_available: Flag = NOT_SEEN
    import_error: Text = NOT_SEEN
    packages: Mapping[str, str] = field(default_factory=dict)
    """Versions of exllamav2, exllamav3, flash-attn, xformers, triton, ... by their distribution names."""
    import_errors: Mapping[str, str] = field(default_factory=dict)
    """Of the packages that were imported and failed: the error, by module name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OllamaModel:
    """A model that an Ollama server has loaded (`/api/ps`)."""

    name: str
    size_bytes: Count
    vram_bytes: Count
    context: Count = NOT_SEEN
    file_bytes: Count = NOT_SEEN
    """Of the model's file (`/api/tags`): what `size_bytes` has beyond it is cache and buffers."""
    num_gpu: Count = NOT_SEEN
    """As a parameter of the model (`/api/show`); Absent: it has none, so that the server decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OllamaServer:
    """An Ollama server: what its API and its service definition say."""

    url: str
    version: Text = NOT_SEEN
    models: tuple[OllamaModel, ...] | Unknown = NOT_SEEN
    pid: Count = NOT_SEEN
    environment: Mapping[str, str] | Unknown = NOT_SEEN
    """The server's own (its unit, its process), not ours."""
    client_environment: Mapping[str, str] | Unknown = NOT_SEEN
    """OLLAMA_* and GPU variables of our own shell."""
    listeners: tuple[str, ...] | Unknown = NOT_SEEN
    """Command lines of the processes that are Ollama servers."""
    orphans: tuple[int, ...] | Unknown = NOT_SEEN
    """Processes that run a model for a server that is gone."""
    unit: Text = NOT_SEEN
    """The service's unit file; Absent: it is no systemd service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Landing:
    """Where a small model landed that was loaded with all layers asked for on the GPU; `failed` says why it was not."""

    engine: str
    model: str
    gpus_listed: Count = NOT_SEEN
    gpu_weights_bytes: Count = NOT_SEEN
    gpu_kv_bytes: Count = NOT_SEEN
    decode_tokens_per_second: float | Unknown = NOT_SEEN
    failed: str = ""
