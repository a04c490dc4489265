"""All failure modes of the product, by id: those that logs can show, and those that the doctor adds, a tuple per file."""

from __future__ import annotations

from vramctl.checks import failure_modes, modes_access, modes_build, modes_config, modes_driver, modes_host, modes_state
from vramctl.checks.failure_modes import Mode

BY_ID: dict[str, Mode] = {
    mode.id: mode
    for modes in (
        modes_access.MODES, modes_driver.MODES, modes_build.MODES, modes_config.MODES, modes_state.MODES, modes_host.MODES,
        failure_modes.MODES,
    )
    for mode in modes
}  # fmt: skip
TITLES: dict[str, str] = {name: mode.title for name, mode in BY_ID.items()}
