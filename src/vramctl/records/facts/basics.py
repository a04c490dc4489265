"""The values that facts are made of: each may be Unknown or Absent, with the reason."""

from __future__ import annotations

from vramctl.records.unknown import Absent, Unknown

NOT_SEEN = Unknown("not looked at")

Text = str | Unknown | Absent
Count = int | Unknown | Absent
Number = float | Unknown | Absent
Flag = bool | Unknown | Absent
Version = tuple[int, ...]
"""A version as numbers, the largest part first: (580, 65, 6), (12, 9), compute capability (8, 9)."""
