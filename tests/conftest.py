"""Puts this folder on the import path, so that tests in any folder can use its writers of test files."""

import os
import signal

from hypothesis import settings

# A shell that runs the tests in the background has SIGINT ignored, and children inherit that: Ctrl-C tests need the default.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples every time, so that a change is judged by what it changed; VRAMCTL_RANDOM looks for new ones.
settings.register_profile("same", derandomize=not os.environ.get("VRAMCTL_RANDOM"))
settings.load_profile("same")
