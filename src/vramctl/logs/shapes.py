"""Lines that differ in nothing but their digits: what the first ones of a shape taught is used to read the others.

A server says the same few hundred things over and over, with other numbers.  The shape of a line is the line with every
digit a zero.  How a line is taken apart and which rule claims it hang on its shape alone, but for the few rules that ask for
certain digits (`[01]`): so in a line of a known shape nothing is searched, its parts are cut out where they always stand.
"""

from __future__ import annotations

from vramctl.logs.dispatch import ZEROS
from vramctl.logs.examined import examined
from vramctl.logs.memo import Known
from vramctl.logs.shape_experiments import learned
from vramctl.logs.shape_reader import Read

LONGEST_BYTES = 1 << 11
MOST_SHAPES = 1 << 12
MOST_BYTES = 1 << 20
FEWEST_SIGHTS = 6
"""So often a shape is seen before it is learned: that costs as much as examining ten to twenty lines."""
_ZEROS = bytes.maketrans(b"123456789", b"000000000")


class Shapes:
    """What was learned about shapes of lines; of bounded size."""

    def __init__(self) -> None:
        self.readers: dict[str | bytes, Read] = {}
        self.sights: dict[str | bytes, int] = {}
        self.held_bytes = 0

    def examined(self, raw: str | bytes) -> Known:
        """What one line says by itself: the same as `examined.examined` finds without knowing the shape."""
        if len(raw) > LONGEST_BYTES:
            return examined(raw)
        shape = raw.translate(_ZEROS) if isinstance(raw, bytes) else raw.translate(ZEROS)
        read = self.readers.get(shape)
        return self._met(shape, raw) if read is None else read(raw)

    def _met(self, shape: str | bytes, raw: str | bytes) -> Known:
        """Examines a line of a shape that is not known yet; learns the shape when it has come often enough."""
        seen = self.sights.get(shape, 0) + 1
        if seen == 1:
            self.held_bytes += len(raw)
            if self.held_bytes > MOST_BYTES or len(self.sights) >= MOST_SHAPES:
                self.sights.clear()
                self.readers.clear()
                self.held_bytes = len(raw)
        self.sights[shape] = seen
        if seen >= FEWEST_SIGHTS:
            self.readers[shape] = learned(raw) or examined
        return examined(raw)
