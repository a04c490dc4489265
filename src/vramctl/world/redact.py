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
    r"^(?i:(?:[a-z0-9_.-]*[_.-])?(?:api[_-]?key|key|token|secret|pass(?:word|wd|phrase)?|auth|authorization|credentials?|cookie))$"
    r"|^[A-Z0-9_]*(?:KEY|TOKEN|SECRET|PASS|AUTH|CREDENTIAL|COOKIE|WEBHOOK)[A-Z0-9_]*$"
)
_UUID = re.compile(r"\b(GPU|MIG)-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE)
_HOMES = re.compile(r"(/home/|/Users/)[^/\s:;\"']+|([A-Za-z]:\\{1,2}Users\\{1,2})[^\\/:;\"'\n]+")
_IN_URL = re.compile(r"(\w+://)[^/\s@\"']+@")
_WEBHOOK = re.compile(r"(https?://[^\s\"']*(?:hooks?|webhooks?)[^\s\"'/]*/)[^\s\"']+", re.IGNORECASE)
_SURE = r"api[_-]?key|secret|pass(?:word|wd|phrase)?|authorization|credentials?|[a-z0-9]+_pass"
_LIKELY = r"token|[a-z0-9]+_key"  # eos_token, max_token, n_key: numbers and truth values are no secrets there
_IN_ASSIGNMENT = re.compile(
    rf"(?i)(?<![\w.-])((?:[a-z0-9_.-]*?[_.-])?(?:(?:{_SURE})[\"']?\s*[=:]\s*(?:bearer\s+|basic\s+)?"
    rf"|(?:{_LIKELY})[\"']?\s*[=:]\s*(?![\"']?(?:\d{{1,9}}|true|false|none|null|on|off|yes|no)\b)))"
    r"([\"']?)[^\s\"',;\])}]{3,}"
)
_IN_OPTION = re.compile(r"(?i)(--?[a-z0-9-]*(?:key|token|password|secret)[\"']?[=,\s]+)([\"']?)[^\s\"',\])]+")
_BEARER = re.compile(r"(?i)\b(bearer\s+|basic\s+)[A-Za-z0-9._~+/=-]{8,}")
_WELL_KNOWN = re.compile(r"\b(?:hf_|sk-|ghp_|gho_|github_pat_|glpat-|xox[abp]-|AKIA)[A-Za-z0-9_-]{8,}")
_SERIAL = re.compile(r"(?i)(serial(?: number)?\s*[:=]\s*)\S+")
_MAC = re.compile(r"(?i)\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b")
_LAN = re.compile(r"\b(?:10\.\d{1,3}|192\.168|172\.(?:1[6-9]|2\d|3[01]))\.\d{1,3}\.\d{1,3}\b")
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
        text = _HOMES.sub(lambda found: f"{found[1] or found[2]}user", text)
        for pattern, word in self._words:
            text = pattern.sub(word, text)
        text = _UUID.sub(self._uuid, text)
        text = _IN_URL.sub(r"\1***@", text)
        text = _WEBHOOK.sub(r"\1***", text)
        text = _IN_ASSIGNMENT.sub(r"\1\2***", text)
        text = _IN_OPTION.sub(r"\1\2***", text)
        text = _BEARER.sub(r"\1***", text)
        text = _WELL_KNOWN.sub("***", text)
        text = _MAC.sub("00:00:00:00:00:00", text)
        text = _LAN.sub("192.168.0.1", text)
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
