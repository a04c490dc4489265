"""Lines of an engine's log -> events -> loads: `for event in decode(lines)`, `assemble(events)`."""

from vramctl.logs.assemble import Assembler, assemble
from vramctl.logs.decode import Stats, decode

__all__ = ["Assembler", "Stats", "assemble", "decode"]
