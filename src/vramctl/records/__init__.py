"""The nouns: frozen dataclasses, no I/O, no decisions."""

from vramctl.records.build import Build
from vramctl.records.device import Device, Host
from vramctl.records.model import ArrayInfo, Model, Scalar, Tensor
from vramctl.records.placement import DeviceUse, HostUse, Placement
from vramctl.records.plan import Advice, Origin, Plan, Witness
from vramctl.records.settings import Settings
from vramctl.records.unknown import Unknown

__all__ = [
    "Advice", "ArrayInfo", "Build", "Device", "DeviceUse", "Host", "HostUse", "Model", "Origin", "Placement", "Plan",
    "Scalar", "Settings", "Tensor", "Unknown", "Witness",
]  # fmt: skip
