"""The child process that runs a model in a llama.cpp library: loads it, times its calls, says what its log says.

Stdlib only; run as `python -m vramctl.engines.run_model` with JSON lines on stdin and stdout. It ends when its parent does.
"""
