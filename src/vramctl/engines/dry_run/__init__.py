"""The child process that asks a llama.cpp library where it would put every byte, without allocating.

Stdlib only; run as `python -m vramctl.engines.dry_run` with JSON lines on stdin and stdout. Anything that can
crash happens here, so that a crash is an observation of the parent's and not its end.
"""
