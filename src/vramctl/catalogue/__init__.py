"""GPUs and their memory as drivers report it: data with sources.

`find(text)` gives an entry, `parse_devices(values)` the devices of `--gpu`, `entries()` all. The table is read on
first use.
"""

from vramctl.catalogue.devices import parse_devices
from vramctl.catalogue.entry import GpuEntry
from vramctl.catalogue.find import find
from vramctl.catalogue.table import entries

__all__ = ["GpuEntry", "entries", "find", "parse_devices"]
