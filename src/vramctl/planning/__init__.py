"""The plan job: look at the model and the devices, ask a witness, hand records to pure code."""

from vramctl.planning.job import make_plan, make_plans
from vramctl.planning.request import Request

__all__ = ["Request", "make_plan", "make_plans"]
