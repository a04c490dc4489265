"""The edge to the machine: files and folders, programs, and (in `world.http`, imported on use) the web.

Failures that people can act on are VramctlErrors.
"""

from vramctl.world.files import Entry, Mapped, kind_of, list_directory, mapped, near_names, read_small
from vramctl.world.programs import Ran, run_program

__all__ = [
    "Entry", "Mapped", "Ran", "kind_of", "list_directory", "mapped", "near_names", "read_small", "run_program",
]  # fmt: skip
