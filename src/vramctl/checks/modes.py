"""All failure modes of the product, by id: those that logs can show, and those that the doctor adds, a tuple per file."""

from __future__ import annotations

from vramctl.checks import (
    failure_modes,
    modes_access,
    modes_active,
    modes_build,
    modes_config,
    modes_driver,
    modes_host,
    modes_state,
)
from vramctl.checks.failure_modes import Mode

_FILES = (
    modes_access, modes_driver, modes_build, modes_config, modes_active, modes_state, modes_host, failure_modes,
)  # fmt: skip

BY_ID: dict[str, Mode] = {mode.id: mode for file in _FILES for mode in file.MODES}
TITLES: dict[str, str] = {name: mode.title for name, mode in BY_ID.items()}
