"""The job of `vramctl verify`: plan, load, watch, compare the three witnesses."""

from vramctl.verifying.attached import verify_pid, verify_server
from vramctl.verifying.job import Request, verify_model

__all__ = ["Request", "verify_model", "verify_pid", "verify_server"]
