"""All built-in shapes, in the order they are listed."""

from __future__ import annotations

from vramctl.shapes.known_dense import DENSE
from vramctl.shapes.known_encoders import ENCODERS
from vramctl.shapes.known_experts import EXPERTS
from vramctl.shapes.known_hybrid import HYBRID
from vramctl.shapes.known_windowed import WINDOWED
from vramctl.shapes.shape import Shape

SHAPES: tuple[Shape, ...] = (*DENSE, *WINDOWED, *EXPERTS, *HYBRID, *ENCODERS)
BY_NAME = {shape.name: shape for shape in SHAPES}
