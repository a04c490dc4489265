"""What must not leave a machine in a recording or a shared text: user and host names, home folders, keys, serial numbers."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any

# Variables of the environment that are kept; all others are left out of a recording.
_KEPT = re.compile(
    r"^(CUDA|NVIDIA|NV_|OLLAMA_|LLAMA_|LLAMACPP_|GGML_|HIP_|ROCR_|HSA_|ROCM_|AMD_|ZES_|ONEAPI_|SYCL_|VK_|LIBVA_|TORCH_|PYTORCH_|EXLLAMA|FLASH_"
    r"|LD_|DYLD_|OMP_|GOMP_|MKL_|OPENBLAS_|CONDA_|VIRTUAL_ENV|PYTHON|CMAKE_ARGS|FORCE_CMAKE|PIP_|WSL_|XDG_RUNTIME|container$|KUBERNETES_SERVICE_HOST$"
    r"|DOCKER_|PATH$|HOME$|USER$|LANG$|TERM$|SNAP|FLATPAK|PROCESSOR_|OS$|SystemRoot$|ProgramFiles)",
    re.IGNORECASE,
)
_SECRET = re.compile(
    r"^[A-Z0-9_]*(KEY|TOKEN|SECRET|PASSW|AUTH|CREDENTIAL|COOKIE)[A-Z0-9_]*$|^(api_?key|password|secret|token)$"
)
_UUID = re.compile(r"\b(GPU|MIG)-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE)
_HOMES = re.compile(r"(/home/|/Users/|[A-Z]:\\Users\\)([^/\\\s:;\"']+)")
_IN_URL = re.compile(r"(\w+://)[^/\s:@]+:[^/\s@]+@")
_IN_ASSIGNMENT = re.compile(
    r"(\b[A-Z0-9_]*(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD)[\"']?\s*[=:]\s*|--api-key[= ]|\bapi_key\s*=\s*)([\"']?)[^\s\"',;\])]+"
)
_WELL_KNOWN = re.compile(r"\b(?:hf_|sk-|ghp_|gho_|github_pat_|xox[abp]-)[A-Za-z0-9_-]{8,}")
_SERIAL = re.compile(r"(?i)(serial(?: number)?\s*[:=]\s*)\S+")
_PLAIN = frozenset({"root", "user", "host", "localhost", "ollama", "ubuntu", "debian"})


class Redactor:
    """Replaces what names a person or a machine, the same thing always by the same word."""

    def __init__(self, *, user: str = "", home: str = "", host: str = "") -> None:
        self._words = [
            (re.compile(rf"(?<![A-Za-z0-9_.-]){re.escape(name)}(?![A-Za-z0-9_-])"), word)
            for name, word in ((user, "user"), (host, "host"))
            if len(name) > 2 and name.lower() not in _PLAIN
        ]
        self._home = home if len(home) > 1 and home != "/root" else ""
        self._uuids: dict[str, str] = {}

    @classmethod
    def of_this_machine(cls) -> Redactor:
        """Knows this user's and this machine's names."""
        home = Path("~").expanduser()
        try:
            host = socket.gethostname()
        except OSError:
            host = ""
        return cls(user=home.name, home=str(home), host=host)

    def text(self, text: str) -> str:
        """The text without names, keys and serial numbers."""
        if self._home:
            text = text.replace(self._home, "/home/user")
        text = _HOMES.sub(r"\1user", text)
        for pattern, word in self._words:
            text = pattern.sub(word, text)
        text = _UUID.sub(self._uuid, text)
        text = _IN_URL.sub(r"\1user:***@", text)
        text = _IN_ASSIGNMENT.sub(r"\1\2***", text)
        text = _WELL_KNOWN.sub("***", text)
        return _SERIAL.sub(r"\1***", text)

    def value(self, key: str, value: Any) -> Any:
        """An answer without them; of an environment only the variables that matter."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value("", part) for part in value]
        if isinstance(value, dict):
            if key == "environ" or key.startswith("environ "):
                value = {name: part for name, part in value.items() if _KEPT.match(str(name))}
            return {self.text(str(name)): self._entry(str(name), part) for name, part in value.items()}
        return value

    def _entry(self, name: str, value: Any) -> Any:
        secret = _SECRET.search(name) and isinstance(value, str) and value
        return "***" if secret else self.value("", value)

    def _uuid(self, found: re.Match[str]) -> str:
        known = self._uuids.setdefault(found[0].lower(), f"{len(self._uuids) + 1:012x}")
        return f"{found[1].upper()}-00000000-0000-0000-0000-{known}"
