"""Writes docs/checks/: a page per check of the doctor, from its docstring and its failure mode. `python tests/check_pages.py`."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from vramctl.checks.chain import all_checks
from vramctl.checks.modes import BY_ID
from vramctl.checks.runner import Check, check_id

FOLDER = Path(__file__).parent.parent / "docs" / "checks"
_NAMES = {
    "any": "Everywhere", "linux": "Linux", "windows": "Windows", "macos": "macOS", "container": "In a container",
    # cases within a platform
    "docker": "Docker", "podman": "Podman", "kubernetes": "Kubernetes", "snap": "Docker of the snap store",
    "vm": "In a virtual machine", "start": "Its start fails", "kernel": "No module for this kernel",
    "secure_boot": "With Secure Boot", "nouveau": "With nouveau", "blacklist": "With a rule of modprobe",
    "vfio": "Kept for virtual machines", "wsl": "A Linux driver inside WSL", "wsl1": "WSL 1", "dxg": "Without /dev/dxg",
    "path": "The loader does not find it", "update": "The driver of Windows is missing or blocks it",
    "none": "Without an instance", "profile": "The profile", "licence": "The licence",
    "host": "In a container whose host lacks it", "stub": "A stub is found", "here": "The loader passes over it",
    "override": "With LLAMA_CPP_LIB_PATH",
}  # fmt: skip


def pages() -> dict[str, str]:
    """Every page by its file name, the index included."""
    found = {f"{check_id(check)}.md": page(layer, check) for layer, check in all_checks()}
    return {"README.md": index()} | found


def page(layer: str, check: Check) -> str:
    """What one check is about: what, why it matters, how it is seen, how sure, how to mend it."""
    mode = BY_ID[check_id(check)]
    text = inspect.cleandoc(check.__doc__ or "")
    text = re.sub(r"^(Why it matters|How it is seen|How sure):", r"**\1:**", text, flags=re.MULTILINE)
    fixes = "\n".join(f"- {_NAMES.get(platform, platform)}: {fix}" for platform, fix in mode.fixes)
    return f"# {mode.title}\n\n`{mode.id}`, layer {layer}\n\n{text}\n\n**What to do:**\n\n{fixes}\n"


def index() -> str:
    """All checks in causal order."""
    lines = [
        "# Checks of `vramctl doctor`",
        "",
        "In causal order: after a blocker, what lies behind it is not checked.",
        "",
    ]
    layer = ""
    for name, check in all_checks():
        if name != layer:
            layer = name
            lines += ["", f"## {layer}", ""]
        mode = BY_ID[check_id(check)]
        lines.append(f"- [{mode.id}]({mode.id}.md): {mode.title}")
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


def write() -> None:
    """Writes all pages and removes those of checks that are gone."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    made = pages()
    for path in FOLDER.glob("*.md"):
        if path.name not in made:
            path.unlink()
    for name, text in made.items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
