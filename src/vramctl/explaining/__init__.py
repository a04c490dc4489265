"""The explain job: what a log's record comes to, with the changes that make a model fit computed by the planner."""

from vramctl.explaining.job import Explained, explain

__all__ = ["Explained", "explain"]
