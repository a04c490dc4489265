"""The hardware's limit beside what was measured: this machine's bandwidth and arithmetic, the model's bytes and operations."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from vramctl.bench.measure import Say
from vramctl.bench.request import Effort
from vramctl.bench.validity import contended
from vramctl.engines.binding import Binding, default_threads
from vramctl.engines.engine import Engine
from vramctl.engines.multiply import look_rates
from vramctl.plan.prefill import copy_name, prefill_bound, prompt_work
from vramctl.plan.roofline import decode_bound, decode_reads
from vramctl.probes.bandwidth import DeviceBandwidth, look_device_bandwidth, look_host_bandwidth
from vramctl.probes.cpu_watch import CpuWatch
from vramctl.records import Device, Plan, Settings, Unknown
from vramctl.records.measurement import Limit, Measured, Rate, Stat
from vramctl.records.run import Loaded
from vramctl.units import MIB, format_bytes

_IN_CACHES = 256 * MIB  # large servers' last caches; below that memory bandwidth is no bound
_MOST_TYPES = 4
_MIN_BATCH = "GGML_OP_OFFLOAD_MIN_BATCH"  # ggml-cuda.cu's own 32 otherwise
_EXCEEDED = 1.05  # a bound that was exceeded by more than noise is none
_NO_RATES = Unknown("the engine that ran is not a library that could be asked how fast it multiplies")


@dataclass(frozen=True, slots=True)
class Bandwidths:
    """Bytes per second of each device's memory and of the host's, and where each figure is from.

    `host to CUDA0` is what is copied there from pinned system memory.
    """

    found: Mapping[str, float | Unknown]
    sources: tuple[str, ...]


def look_bandwidths(devices: Sequence[Device], threads: int, available: int | Unknown, say: Say) -> Bandwidths:
    """The bandwidth of system memory, measured, and of each GPU: measured where that works, else the data sheet's."""
    say(f"measuring the bandwidth of system memory with {threads} threads")
    host = look_host_bandwidth(threads, available_bytes=available)
    found: dict[str, float | Unknown] = {"host": host if isinstance(host, Unknown) else host.bytes_per_second}
    sources = [f"host: {host.reason if isinstance(host, Unknown) else host.how}"]
    for device in devices:
        say(f"measuring the memory bandwidth of {device.name}")
        measured = look_device_bandwidth(device)
        found[device.name], source = _device_bandwidth(device, measured)
        sources.append(f"{device.name}: {source}")
        found[copy_name(device.name)] = (
            measured if isinstance(measured, Unknown) else measured.from_host_bytes_per_second
        )
    return Bandwidths(found, tuple(sources))


def _device_bandwidth(device: Device, measured: DeviceBandwidth | Unknown) -> tuple[float | Unknown, str]:
    """A GPU's bytes per second and where they are from.

    A measured reading is the bound.  A copy alone reads and writes, which may be slower than reading: then the data sheet's
    figure stays the bound, as nothing can exceed that, unless the copy did.
    """
    sheet = device.bandwidth_bytes_per_second
    by_sheet = f"its data sheet or clock and width ({device.source})"
    if isinstance(measured, Unknown):
        return sheet, f"{by_sheet}, not measured: {measured.reason}"
    copied = measured.copy_bytes_per_second
    told = [f"copying {copied / 1e9:.0f} GB/s measured" if isinstance(copied, float) else "copying not measured"]
    if isinstance(measured.read_bytes_per_second, float):
        told.insert(0, f"reading {measured.read_bytes_per_second / 1e9:.0f} GB/s measured")
        beside = f"{by_sheet}: {sheet / 1e9:.0f} GB/s" if isinstance(sheet, int) else f"{by_sheet}: unknown"
        return max(measured.read_bytes_per_second, copied if isinstance(copied, float) else 0.0), ", ".join(
            (*told, beside)
        )
    if isinstance(sheet, Unknown):
        return copied, ", ".join((*told, "reading alone may be somewhat faster"))
    if isinstance(copied, float) and copied > sheet:
        return copied, ", ".join((*told, f"above {by_sheet}"))
    return sheet, ", ".join((by_sheet, *told))


@dataclass(slots=True)
class Rates:
    """Rates of matrix products that were measured so far, each once."""

    found: dict[tuple[str, str, int, int], Rate] = field(default_factory=dict)
    disturbed: set[tuple[str, str, int, int]] = field(default_factory=set)
    """Those of the processor that were measured while others computed: tried again by the next who asks."""

    def of(
        self, engine: Engine, wanted: Sequence[tuple[str, str]], *, columns: int, threads: int, say: Say
    ) -> dict[tuple[str, str], Rate]:
        """The rates of (device, weight type), measured now where they were not yet, or were while others computed."""
        keys = {(d, t): (d, t, columns, threads) for d, t in wanted}
        missing = [pair for pair, key in keys.items() if key not in self.found or key in self.disturbed]
        if missing and isinstance(engine, Binding):
            devices = ", ".join(dict.fromkeys("the processor" if d == "host" else d for d, _ in missing))
            say(f"measuring matrix products of {', '.join(dict.fromkeys(t for _, t in missing))} on {devices}")
            processor = CpuWatch(None, children=True)
            rates = look_rates(engine, missing, columns=columns, threads=threads)
            use = processor.use()
            others = contended(use.foreign, use.cores)
            for rate in rates:
                key = keys[rate.device, rate.type]
                disturbed = rate.device == "host" and others
                self.found[key] = replace(rate, flops_per_second=_disturbed(others)) if disturbed else rate
                (self.disturbed.add if disturbed else self.disturbed.discard)(key)
        return {(d, t): self.found.get((d, t, columns, threads), Rate(d, t, _NO_RATES, columns)) for d, t in wanted}


def _disturbed(others: str) -> Unknown:
    """Why what was measured of the processor beside others is no bound: alone it is faster."""
    return Unknown(f"{others} while its matrix products were measured, which are faster without them")


def decode_limit(plan: Plan, effort: Effort, loaded: Loaded, decode: Measured, bandwidths: Bandwidths) -> Limit:
    """The bound of memory bandwidth at the depth in the middle of what was decoded."""
    depth = effort.depth + effort.decode_tokens // 2
    reads = decode_reads(plan.model, plan.settings, _in_use(plan, loaded), depth)
    if not isinstance(reads, Unknown) and 0 < reads.on("host") < _IN_CACHES:
        reads = Unknown(
            f"a token reads {format_bytes(reads.on('host'))} of system memory: processor caches can hold that"
        )
    bound = reads if isinstance(reads, Unknown) else decode_bound(reads, bandwidths.found)
    if isinstance(bound, Unknown):
        return Limit(bound, bound, "", bandwidths.sources)
    if isinstance(decode, Stat) and decode.median > _EXCEEDED * bound.tokens_per_second:
        why = Unknown(
            "decode was faster than memory bandwidth allows: caches hold a part, or measuring that was disturbed"
        )
        return Limit(why, why, "", bandwidths.sources)
    share = _share(decode, bound.tokens_per_second)
    return Limit(bound.tokens_per_second, share, bound.bound_by, bandwidths.sources)


def with_prefill(
    limit: Limit, plan: Plan, effort: Effort, loaded: Loaded, prefill: Measured, *, engine: Engine, bandwidths: Bandwidths,
    rates: Rates, say: Say,
) -> Limit:  # fmt: skip
    """The limit with the bound of arithmetic, or of memory bandwidth where that is lower, for the prompt that was measured."""
    if not isinstance(prefill, Stat):
        return limit
    settings = _as_loaded(plan.settings, loaded)
    work = prompt_work(plan.model, settings, _in_use(plan, loaded), tokens=effort.prompt_tokens, depth=effort.depth)
    if (
        not isinstance(work, Unknown)
        and any(one.copied_bytes for one in work.by_device.values())
        and _MIN_BATCH in os.environ
    ):
        work = Unknown(f"{_MIN_BATCH} is set: which products go to a GPU is not known")
    if isinstance(work, Unknown):
        return replace(limit, prefill_tokens_per_second=work, prefill_share=work)
    threads = loaded.n_threads if isinstance(loaded.n_threads, int) else settings.n_threads or default_threads()
    found = rates.of(engine, work.types(_MOST_TYPES), columns=work.columns, threads=threads, say=say)
    in_memory = dict(bandwidths.found)
    if "host" in work.by_device and work.by_device["host"].read_bytes < _IN_CACHES:
        in_memory.pop("host", None)
    bound = prefill_bound(work, {key: rate.flops_per_second for key, rate in found.items()}, in_memory)
    if isinstance(bound, Unknown):
        return replace(limit, prefill_tokens_per_second=bound, prefill_share=bound)
    sources = [f"{rate.device} {rate.type}: {_source(rate)}" for rate in found.values()]
    sources += [f"{what}: not counted" for what in work.left_out]
    limit = replace(limit, sources=(*limit.sources, *sources))
    if prefill.median > _EXCEEDED * bound.tokens_per_second:
        why = Unknown(
            "prefill was faster than the rates of matrix products allow: something disturbed the measurement of those"
        )
        return replace(limit, prefill_tokens_per_second=why, prefill_share=why)
    return replace(
        limit, prefill_tokens_per_second=bound.tokens_per_second, prefill_bound_by=bound.bound_by,
        prefill_share=_share(prefill, bound.tokens_per_second),
    )  # fmt: skip


def _in_use(plan: Plan, loaded: Loaded) -> tuple[Device, ...]:
    """The plan's GPUs, none where the engine says that it has none."""
    listed = loaded.devices
    without = not isinstance(listed, Unknown) and all(device.kind not in ("gpu", "igpu") for device in listed)
    return () if without else tuple(plan.devices)


def _as_loaded(settings: Settings, loaded: Loaded) -> Settings:
    """The settings with the sizes of batches that the engine says it runs with."""
    batch, ubatch = loaded.n_batch, loaded.n_ubatch
    return replace(
        settings,
        n_batch=batch if isinstance(batch, int) and batch > 0 else settings.n_batch,
        n_ubatch=ubatch if isinstance(ubatch, int) and ubatch > 0 else settings.n_ubatch,
    )


def _source(rate: Rate) -> str:
    reached = rate.flops_per_second
    return reached.reason if isinstance(reached, Unknown) else f"{reached / 1e9:.0f} GFLOP/s ({rate.how})"


def _share(reached: Measured, most: float) -> float | Unknown:
    return reached.median / most if isinstance(reached, Stat) else Unknown("nothing was measured to compare with")
