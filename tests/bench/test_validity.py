"""What makes figures not count."""

from __future__ import annotations

from vramctl.bench.stats import stat
from vramctl.bench.validity import activity, invalid_because, throttled
from vramctl.records import Unknown
from vramctl.records.measurement import Stat
from vramctl.records.verification import DeviceWatch
from vramctl.units import GIB

STEADY = stat([100, 100.5, 99.5, 100, 100.2, 99.8], "t/s")


def watch(**changed: object) -> DeviceWatch:
    found = {
        "name": "CUDA0", "total_bytes": 24 * GIB, "before_bytes": 0, "loaded_bytes": GIB, "peak_bytes": GIB, "others_bytes": 0,
        "throttle_reasons": (0, 4, 4), "power_watts": (200.0, 300.0), "busy_percent": (90, 95),
    }  # fmt: skip
    return DeviceWatch(**{**found, **changed})  # type: ignore[arg-type]


def reasons(**changed: object) -> tuple[str, ...]:
    asked: dict[str, object] = {
        "foreign_cpu": 0.02,
        "battery": False,
        "watches": [watch()],
        "decode": STEADY,
        "on_cpu": True,
    }
    return invalid_because(**{**asked, **changed})  # type: ignore[arg-type]


def test_a_quiet_machine_at_its_power_limit_counts() -> None:
    assert reasons() == ()


def test_foreign_work_counts_only_where_the_processor_computes() -> None:
    assert reasons(foreign_cpu=0.5, cores=2) == ("contended: other processes used 1.0 of 2 cores meanwhile",)
    assert reasons(foreign_cpu=0.02, cores=64)[0].startswith("contended")  # more than one of 64 cores: all wait for it
    assert reasons(foreign_cpu=0.05, cores=2) == ()
    assert reasons(foreign_cpu=0.5, on_cpu=False) == ()
    assert reasons(foreign_cpu=Unknown("no /proc")) == ()


def test_heat_battery_and_neighbours_are_told() -> None:
    assert reasons(watches=[watch(throttle_reasons=(4, 0x44))]) == ("CUDA0 was slowed down: hardware thermal slowdown",)
    assert reasons(battery=True)[0].startswith("on battery")
    assert (
        reasons(watches=[watch(others_bytes=GIB)])[0]
        == "CUDA0: another process changed its memory by 1024 MiB meanwhile"
    )


def test_samples_that_scatter_are_unstable() -> None:
    assert reasons(decode=stat([50, 60, 100, 110, 70, 90], "t/s"))[0].startswith("unstable")


def test_energy_is_power_over_speed() -> None:
    found = activity(watch(), STEADY)
    assert found.energy_joules_per_token == 2.5
    assert isinstance(found.busy_percent, Stat) and found.busy_percent.median == 92.5
    assert isinstance(throttled(watch(throttle_reasons=Unknown("not supported"))), Unknown)
