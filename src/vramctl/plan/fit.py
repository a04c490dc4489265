"""Chooses what the user left open so that a model fits: context, split, experts, layers. Pure: a witness is asked through
`measure`, and every choice is a placement that the witness has confirmed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from vramctl.plan.programs import MIN_CTX, has_experts, train_ctx
from vramctl.records import Model, Placement, Settings, Unknown
from vramctl.units import pad

CTX_STEP = 256
SMALL_UBATCHES = (256, 128)
MAX_MEASURES = 80
_MUCH_BYTES = 1 << 60
MOST_CHOSEN_CTX = (
    1 << 21
)  # an engine keeps some 60 bytes a token while it is asked: 134 MiB; more is planned where it is asked for


class CannotMeasure(Exception):
    """The witness could not answer; `reason` is its own words."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


Measure = Callable[[Settings], Placement | Unknown]


@dataclass(slots=True)
class Judge:
    """Asks the witness once per settings, and says by how many bytes a placement misses the budgets.

    `budgets` are bytes per device, `host_budget` bytes of system memory (Unknown: not judged).
    """

    measure: Measure
    budgets: Sequence[int]
    host_budget: int | Unknown
    seen: dict[Settings, Placement] = field(default_factory=dict)

    def placement(self, settings: Settings) -> Placement:
        """Where the bytes go with these settings; CannotMeasure where the witness does not know."""
        if settings not in self.seen:
            if len(self.seen) >= MAX_MEASURES:
                raise CannotMeasure(f"gave up after {MAX_MEASURES} placements")
            found = self.measure(settings)
            if isinstance(found, Unknown):
                raise CannotMeasure(found.reason)
            self.seen[settings] = found
        return self.seen[settings]

    def excess(self, settings: Settings) -> list[int]:
        """Bytes over budget per device (negative: room left)."""
        uses = self.placement(settings).devices
        over = []
        for use, budget in zip(uses, self.budgets, strict=True):
            used = use.used_bytes
            if isinstance(used, Unknown):
                raise CannotMeasure(used.reason)
            over.append(used - budget)
        return over

    def fits(self, settings: Settings) -> bool:
        """Whether every device and the host stay within their budgets."""
        return all(over <= 0 for over in self.excess(settings)) and self.host_fits(settings)

    def host_fits(self, settings: Settings) -> bool:
        """Whether the host's part fits its memory; True where that memory is not known."""
        return self.host_excess(settings) <= 0

    def host_excess(self, settings: Settings) -> int:
        """Bytes over the host's memory (negative: room left); very much room where that memory is not known."""
        used = self.placement(settings).host.used_bytes
        if isinstance(used, Unknown) or isinstance(self.host_budget, Unknown):
            return -_MUCH_BYTES
        return used - self.host_budget


@dataclass(frozen=True, slots=True)
class Choice:
    """The settings found, and whether they fit. `max_ctx` is the largest n_ctx with all layers on the devices."""

    settings: Settings
    fits: bool
    max_ctx: int | Unknown


def choose(model: Model, start: Settings, open_fields: frozenset[str], judge: Judge, *, devices: int) -> Choice:
    """The best settings within the budgets. `start` has every field set but those in `open_fields` that stay None.

    Order: everything on the devices with the longest context; a smaller ubatch where that alone makes it fit; experts to the
    host; whole layers to the host. What is not in `open_fields` is kept as it is.
    """
    layers = model.layers + 1
    wanted = replace(
        start, n_gpu_layers=start.n_gpu_layers if start.n_gpu_layers is not None else layers if devices else 0
    )
    if wanted.n_gpu_layers == -1:
        wanted = replace(wanted, n_gpu_layers=layers)
    everything = replace(wanted, n_gpu_layers=layers if devices else 0)
    best_ctx = _largest_ctx(model, everything, judge, devices=devices)
    floor = wanted.n_ctx if wanted.n_ctx is not None else min(MIN_CTX, train_ctx(model))
    if wanted.n_ctx is None and best_ctx >= floor and wanted.n_gpu_layers == everything.n_gpu_layers:
        return Choice(_split(replace(wanted, n_ctx=best_ctx), judge, devices), True, best_ctx)
    fixed = _split(replace(wanted, n_ctx=floor), judge, devices)
    if judge.fits(fixed):
        return Choice(_longer(model, fixed, open_fields, judge, devices), True, best_ctx)
    for step in (_smaller_ubatch, _experts_to_host, _layers_to_host):
        found = step(model, fixed, open_fields, judge, devices)
        if found is not None:
            found = _longer(model, found, open_fields, judge, devices)
            whole = (found.n_gpu_layers, found.n_cpu_moe or 0) == (layers, 0)
            most = _largest_ctx(model, found, judge, devices=devices) if whole else best_ctx
            return Choice(found, True, most)
    return Choice(_least(fixed, open_fields), False, best_ctx)


def _least(settings: Settings, open_fields: frozenset[str]) -> Settings:
    return replace(settings, n_gpu_layers=0, tensor_split=None) if "n_gpu_layers" in open_fields else settings


def _largest_ctx(model: Model, settings: Settings, judge: Judge, *, devices: int) -> int:
    """The largest n_ctx up to the training context (or what was asked, if longer) that fits, 0 where none does."""
    if settings.n_gpu_layers == model.layers + 1 and not settings.n_cpu_moe and not settings.tensor_overrides:
        inside = sum(tensor.data_bytes for tensor in model.tensors if not tensor.name.startswith("token_embd"))
        if devices and inside > sum(judge.budgets):
            return 0
    step = CTX_STEP * (1 if settings.kv_unified else settings.n_parallel or 1)
    trained = train_ctx(model) * (1 if settings.kv_unified else settings.n_parallel or 1)
    most = max(min(trained, MOST_CHOSEN_CTX), settings.n_ctx or 0)
    most = max(most // step, 1) * step

    def over(n_ctx: int) -> int:
        tried = _split(replace(settings, n_ctx=n_ctx), judge, devices)
        return max([*judge.excess(tried), judge.host_excess(tried)])

    low = min(step, most)
    over_low = over(low)
    if over_low > 0:
        return 0
    high = _first_guess(low, over_low, most, step, over)
    over_high = over(high)
    while over_high <= 0 and high < most:  # the guess was too careful
        low, over_low = high, over_high
        high = min(most, high * 2)
        over_high = over(high)
    if over_high <= 0:
        return high
    while high - low > step * max(1, low // (step * 128)):
        guess = low + int((high - low) * (-over_low) / max(over_high - over_low, 1))
        guess = min(max(guess // step * step, low + step), high - step)
        found = over(guess)
        if found <= 0:
            low, over_low = guess, found
            probe = min(guess + step * max(1, guess // (step * 128)), high - step)
            if probe > guess and (over_probe := over(probe)) > 0:
                high, over_high = probe, over_probe
            elif probe > guess:
                low, over_low = probe, over_probe
        else:
            high, over_high = guess, found
    return low


def _first_guess(low: int, over_low: int, most: int, step: int, over: Callable[[int], int]) -> int:
    """A context that is about the first not to fit, by the slope near the shortest; `most` where that seems to fit.

    An engine keeps some 50 bytes a token of its own while it is asked, so that asking for millions at once costs memory.
    """
    near = min(most, max(32 * step, 8192 // step * step))
    if near <= low:
        return most
    over_near = over(near)
    slope = (over_near - over_low) / (near - low)
    if over_near > 0 or slope <= 0:
        return near if over_near > 0 else most
    reach = near + int(-over_near / slope * 1.05)
    return most if reach >= most else max(reach // step * step, near + step)


def _longer(model: Model, settings: Settings, open_fields: frozenset[str], judge: Judge, devices: int) -> Settings:
    """The same placement with a longer context, where the context was left open."""
    if "n_ctx" not in open_fields:
        return settings
    found = _largest_ctx(model, settings, judge, devices=devices)
    return _split(replace(settings, n_ctx=found), judge, devices) if found > (settings.n_ctx or 0) else settings


def _smaller_ubatch(
    model: Model, settings: Settings, open_fields: frozenset[str], judge: Judge, devices: int
) -> Settings | None:
    if "n_ubatch" not in open_fields or not devices:
        return None
    for ubatch in SMALL_UBATCHES:
        tried = _split(replace(settings, n_ubatch=ubatch), judge, devices)
        if judge.fits(tried):
            return tried
    return None


def _experts_to_host(
    model: Model, settings: Settings, open_fields: frozenset[str], judge: Judge, devices: int
) -> Settings | None:
    if "n_cpu_moe" not in open_fields or not devices or not has_experts(model):
        return None

    def tried(count: int) -> Settings:
        return _split(replace(settings, n_cpu_moe=count), judge, devices)

    count = _smallest(model.layers, lambda n: _worst(judge, tried(n)))
    return None if count is None else tried(count)


def _layers_to_host(
    model: Model, settings: Settings, open_fields: frozenset[str], judge: Judge, devices: int
) -> Settings | None:
    if "n_gpu_layers" not in open_fields:
        return None
    base = settings
    if "n_cpu_moe" in open_fields and has_experts(model) and devices:
        base = replace(settings, n_cpu_moe=model.layers)

    def tried(count: int) -> Settings:
        return _split(replace(base, n_gpu_layers=count), judge, devices)

    host_layers = _smallest(model.layers + 1, lambda n: _worst(judge, tried(model.layers + 1 - n)))
    return None if host_layers is None else tried(model.layers + 1 - host_layers)


def _worst(judge: Judge, settings: Settings) -> int:
    """Bytes over the tightest budget; the host's counts as far too much, so that bisection takes over."""
    return max(judge.excess(settings), default=-1) if judge.host_fits(settings) else 1 << 50


def _smallest(most: int, excess: Callable[[int], int]) -> int | None:
    """The smallest count in 0..most with excess <= 0, None where `most` itself has some; about linear in the count.

    A secant guess is followed by its neighbour, so that a linear excess takes four questions; bisection bounds the rest.
    """
    over_high = excess(most)
    if over_high > 0:
        return None
    low, high = 0, most
    over_low = excess(0)
    if over_low <= 0:
        return 0
    secant = True
    while high - low > 1:
        share = over_low / (over_low - over_high) if secant and over_low < 1 << 49 else 0.5
        guess = min(max(low + math.ceil((high - low) * share), low + 1), high - 1)
        over = excess(guess)
        if over > 0:
            secant, low, over_low = low != guess - 1, guess, over
        else:
            high, over_high = guess, over
            if high - low > 1 and (below := excess(high - 1)) > 0:
                return high
            secant = high - low <= 1 or not secant
            if high - low > 1:
                high, over_high = high - 1, below
    return high


def _split(settings: Settings, judge: Judge, devices: int) -> Settings:
    """The settings with a layer split over several devices, so that none is over its budget where that is possible.

    The split is written as layers per device (`17,16`). What the user asked for is kept.
    """
    count = settings.n_gpu_layers or 0
    if devices < 2 or settings.tensor_split is not None or settings.split_mode != "layer" or count < 2:
        return settings
    shares = _whole(count, [max(budget, 1) for budget in judge.budgets])
    best: tuple[int, Settings] | None = None
    tried: set[tuple[int, ...]] = set()
    for _ in range(8):
        if tuple(shares) in tried:
            break
        tried.add(tuple(shares))
        with_split = replace(settings, tensor_split=tuple(float(n) for n in shares))
        excess = judge.excess(with_split)
        worst = max(excess)
        if best is None or worst < best[0]:
            best = worst, with_split
        if worst <= 0:
            break
        shares = _moved(shares, excess, judge.placement(with_split))
    return best[1] if best else settings


def _whole(total: int, weights: list[int]) -> list[int]:
    """`total` shared in proportion to the weights as whole numbers (largest remainder)."""
    whole = [total * w // sum(weights) for w in weights]
    rest = sorted(range(len(weights)), key=lambda i: -(total * weights[i] % sum(weights)))
    for i in rest[: total - sum(whole)]:
        whole[i] += 1
    return whole


def _moved(shares: list[int], excess: list[int], placement: Placement) -> list[int]:
    """One or more layers moved from the fullest device to the emptiest."""
    source = max(range(len(shares)), key=lambda i: excess[i])
    target = min(range(len(shares)), key=lambda i: excess[i])
    use = placement.devices[source]
    bulk = sum(part for part in (use.weights_bytes, use.kv_bytes) if isinstance(part, int))
    per_layer = max(bulk // max(shares[source], 1), 1)
    count = max(
        1, min((excess[source] - max(excess[target], 0)) // per_layer, -excess[target] // per_layer, shares[source])
    )
    moved = list(shares)
    moved[source] -= count
    moved[target] += count
    return moved


def context_per_sequence(settings: Settings) -> int:
    """Tokens one sequence can hold: n_ctx of a unified cache, else its share padded to 256 (src/llama-context.cpp)."""
    if settings.n_ctx is None:
        return 0
    if settings.kv_unified:
        return pad(settings.n_ctx, CTX_STEP)
    return pad(settings.n_ctx // (settings.n_parallel or 1), CTX_STEP)
