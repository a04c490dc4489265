"""Programs that run in a child process, some of them in another interpreter: they may crash, hang or print nonsense.

Each file is given to the interpreter as text (`python -c`), so it must stand alone: the standard library of Python 3.8
and later, nothing of vramctl.  Answers are lines that start with `VRAMCTL-JSON `, on the standard output that the
process started with; whatever libraries print on the way goes to the standard error.
"""
