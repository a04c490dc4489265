"""What `verify` learnt of this machine: how much a driver's context takes on each GPU. A broken file is no error."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from vramctl.records import Device
from vramctl.units import GIB

FILE = "overheads.json"
MOST_BYTES = 1 << 20
MOST_CONTEXT_BYTES = 8 * GIB


def learnt_key(device: Device) -> str:
    """The name under which a GPU's figure is kept: its UUID and its driver; empty for one that is only named."""
    if not isinstance(device.uuid, str) or not isinstance(device.driver, str):
        return ""
    return f"{device.uuid} {device.driver}"


def read_learnt(environ: Mapping[str, str] | None = None) -> dict[str, int]:
    """Bytes of driver context by `learnt_key`; empty where nothing was learnt."""
    with suppress(OSError, ValueError, AttributeError, TypeError, RuntimeError):  # RuntimeError: no home
        path = _file(os.environ if environ is None else environ)
        if path.stat().st_size <= MOST_BYTES:
            found = json.loads(path.read_text(encoding="utf-8"))
            return {
                str(key): size for key, size in found["context_bytes"].items()
                if type(size) is int and 0 <= size <= MOST_CONTEXT_BYTES
            }  # fmt: skip
    return {}


def write_learnt(context_bytes: Mapping[str, int], environ: Mapping[str, str] | None = None) -> bool:
    """Keeps these figures beside those of other GPUs; whether that could be done."""
    environ = os.environ if environ is None else environ
    kept = read_learnt(environ) | {key: size for key, size in context_bytes.items() if key}
    with suppress(OSError, RuntimeError):  # RuntimeError: no home
        path = _file(environ)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump({"context_bytes": kept}, file, indent=1)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        return True
    return False


def _file(environ: Mapping[str, str]) -> Path:
    base = environ.get("XDG_STATE_HOME", "")
    folder = Path(base) if base.startswith("/") else Path(environ.get("HOME") or Path.home()) / ".local" / "state"
    return folder / "vramctl" / FILE
