"""Puts this folder on the import path, so that tests in any folder can use its writers of test files."""

import signal

# A shell that runs the tests in the background has SIGINT ignored, and children inherit that: Ctrl-C tests need the default.
signal.signal(signal.SIGINT, signal.default_int_handler)
