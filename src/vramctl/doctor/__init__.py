"""The job of `vramctl doctor`: look at a machine through a World, run the checks, say what is wrong."""

from vramctl.doctor.job import Asked, diagnose

__all__ = ["Asked", "diagnose"]
