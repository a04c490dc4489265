"""Placements in, a verdict out: pure functions over what was planned, reported and observed."""
