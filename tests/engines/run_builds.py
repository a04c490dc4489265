"""The builds that tests run models in: the installed one, and those that VRAMCTL_ENGINE_PATHS names (as PATH does)."""

from __future__ import annotations

import os

from vramctl.engines.builds import look_build
from vramctl.records import Build, Unknown


def builds() -> list[Build]:
    """Every build with a library, the installed one first."""
    paths = [None, *filter(None, os.environ.get("VRAMCTL_ENGINE_PATHS", "").split(os.pathsep))]
    found = [look_build(path) for path in paths]
    return [build for build in found if not isinstance(build, Unknown) and build.libraries]
