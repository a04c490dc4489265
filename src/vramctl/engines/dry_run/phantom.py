"""GPUs that are not there: devices registered with ggml that answer as CUDA would and allocate nothing."""

from __future__ import annotations

import ctypes as C
from collections.abc import Callable
from typing import Any

from vramctl.engines.dry_run import layouts as L
from vramctl.engines.dry_run import shared_experts
from vramctl.engines.dry_run.cuda_rules import CudaRules
from vramctl.engines.dry_run.library import Library
from vramctl.engines.dry_run.moe_lifetimes import Graph, keep_alive

P, S = C.c_void_p, C.c_size_t
FAKE_BASE = 0x10000  # never read or written: no phantom buffer has memory
REAL_HOST_BYTES = 64 << 20  # pinned host buffers up to this are real memory: llama.cpp may touch them
GPU = 1


class Phantoms:
    """Up to `count` CUDA-like devices of one process; `set` gives them the cards' memory for the next plan."""

    def __init__(self, library: Library, count: int) -> None:
        self.lib = library
        self._keep: list[object] = []
        self.memory = [(0, 0)] * count
        self.rules = [CudaRules(library, 860) for _ in range(count)]
        self.devices: list[C.Structure] = []
        self.bufts: list[C.Structure] = []
        self.host_buft = library.tables.buft()
        reg = L.Reg(api=library.tables.api)
        self._keep.append(reg)
        self._fill_host_buft()
        for index in range(count):
            self._add(index, reg)
        bufts = {C.addressof(buft): i for i, buft in enumerate(self.bufts)}
        for index, rules in enumerate(self.rules):
            rules.cuda_bufts, rules.index = bufts, index
        reg.name = self._callback(C.c_char_p, [P], lambda _: b"PHANTOM")
        reg.count = self._callback(S, [P], lambda _: len(self.devices))
        reg.get = self._callback(P, [P, S], lambda _, i: C.addressof(self.devices[i]))
        reg.proc = self._callback(P, [P, C.c_char_p], lambda *_: None)
        if count:
            library.function("ggml_backend_register", None, P)(C.addressof(reg))

    def set(self, index: int, *, total: int, free: int, cc: int) -> None:
        """Makes phantom `index` a card of `total` and `free` bytes with compute capability `cc` (860)."""
        self.memory[index] = (total, free)
        self.rules[index].cc = cc

    def _callback(self, restype: Any, argtypes: list[Any], function: Callable[..., Any]) -> int | None:
        made = C.CFUNCTYPE(restype, *argtypes)(function)
        self._keep.append(made)
        return C.cast(made, P).value

    def _name(self, name: bytes) -> int | None:
        text = C.create_string_buffer(name)
        self._keep.append(text)
        return self._callback(P, [P], lambda _: C.addressof(text))

    def _fake_buffer(self) -> C.Structure:
        table = self.lib.tables.buffer()
        table.base = self._callback(P, [P], lambda _: FAKE_BASE)
        table.clear = self._callback(None, [P, C.c_uint8], lambda *_: None)
        table.set = self._callback(None, [P, P, P, S, S], lambda *_: None)
        table.memset = self._callback(None, [P, P, C.c_uint8, S, S], lambda *_: None)
        table.get = self._callback(None, [P, P, P, S, S], lambda *_: None)
        self._keep.append(table)
        return table

    def _fill_host_buft(self) -> None:
        buft, table = self.host_buft, self._fake_buffer()

        def alloc(this: int, size: int) -> int | None:
            if size <= REAL_HOST_BYTES:
                found: int | None = self.lib.buft_alloc(self.lib.cpu_buft(), size)
                return found
            made: int | None = self.lib.buffer_init(this, table, None, size)
            return made

        buft.name = self._name(b"CUDA_Host")
        buft.alloc = self._callback(P, [P, S], alloc)
        buft.align = self._callback(S, [P], lambda _: 32)  # TENSOR_ALIGNMENT, ggml-impl.h
        buft.is_host = self._callback(C.c_bool, [P], lambda _: True)

    def _add(self, index: int, reg: C.Structure) -> None:
        device, buft = L.Device(), self.lib.tables.buft()
        self.devices.append(device)
        self.bufts.append(buft)
        self._fill_buft(index, buft, device)
        name = f"CUDA{index}".encode()
        rules = self.rules[index]
        own = C.addressof(buft)

        def memory(_: int, free: Any, total: Any) -> None:
            total[0], free[0] = self.memory[index]

        device.name = self._name(name)
        device.description = self._name(b"phantom " + name)
        device.memory = self._callback(None, [P, C.POINTER(S), C.POINTER(S)], memory)
        device.type = self._callback(C.c_int, [P], lambda _: GPU)
        device.props = self._callback(None, [P, C.POINTER(L.Props)], self._props(index, name))
        device.init = self._callback(P, [P, C.c_char_p], lambda *_: self._backend(name, device, rules))
        device.buft = self._callback(P, [P], lambda _: own)
        device.host_buft = self._callback(P, [P], lambda _: C.addressof(self.host_buft))
        device.supports_op = self._callback(C.c_bool, [P, P], lambda _, t: rules.supports(t))
        device.supports_buft = self._callback(C.c_bool, [P, P], lambda _, b: b == own)
        device.offload_op = self._callback(C.c_bool, [P, P], lambda _, t: rules.offloads(t))
        device.reg = C.addressof(reg)
        self.host_buft.device = C.addressof(self.devices[0])

    def _props(self, index: int, name: bytes) -> Callable[[int, Any], None]:
        pci = b"0000:%02x:00.0" % (index + 1)

        def fill(_: int, props: Any) -> None:
            total, free = self.memory[index]
            out = props[0]
            out.name = out.description = name
            out.memory_total, out.memory_free, out.type, out.device_id = total, free, GPU, pci
            for i, cap in enumerate((True, True, False, True)):  # async, host_buffer, buffer_from_host_ptr, events
                out.caps[i] = cap

        return fill

    def _fill_buft(self, index: int, buft: C.Structure, device: C.Structure) -> None:
        table, rules = self._fake_buffer(), self.rules[index]

        def alloc(this: int, size: int) -> int | None:
            made: int | None = self.lib.buffer_init(this, table, None, size)
            return made

        buft.name = self._name(f"CUDA{index}".encode())
        buft.alloc = self._callback(P, [P, S], alloc)
        buft.align = self._callback(S, [P], lambda _: 128)
        buft.alloc_size = self._callback(S, [P, P], lambda _, t: rules.alloc_size(t))
        buft.device = C.addressof(device)

    def _backend(self, name: bytes, device: C.Structure, rules: CudaRules) -> int:
        backend, guid = self.lib.tables.backend(), (C.c_uint8 * 16)(*range(16))
        self._keep += [backend, guid]
        backend.guid, backend.device = C.addressof(guid), C.addressof(device)
        backend.name = self._name(name)
        backend.free = self._callback(None, [P], lambda _: None)
        backend.synchronize = self._callback(None, [P], lambda _: None)
        backend.compute = self._callback(C.c_int, [P, P], lambda *_: -1)
        if self.lib.tables.optimizes:
            add_type = C.CFUNCTYPE(None, P, P, P)

            def optimize(_: int, graph: int, params: int) -> None:
                add = add_type(C.c_uint64.from_address(params).value)
                user = C.c_uint64.from_address(params + 8).value
                view = Graph(self.lib, graph)
                if self.lib.tables.groups_experts:
                    shared_experts.group(view, lambda at, until: add(user, at, until))
                keep_alive(view, lambda at, until: add(user, at, until))

            backend.graph_optimize = self._callback(None, [P, P, P], optimize)
        return C.addressof(backend)
