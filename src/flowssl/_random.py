"""The source of random numbers in training: a generator of its own for each thread.

Dropout, noise and random views are called deep inside a model, where no generator can be handed
to them. They draw from the generator that `seeded` sets for the thread. PyTorch's global generators
are neither seeded nor drawn from, so trainings in several threads, and callers who draw meanwhile, do
not disturb each other. Compiled models call what draws as it is: compiled code would draw from the
global generators.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

CPU = torch.device("cpu")


class _Current(threading.local):
    """The generators that are set in this thread, by the type of their device."""

    def __init__(self) -> None:
        self.generators: dict[str, torch.Generator] = {}


_CURRENT = _Current()
_GLOBAL_GENERATORS = threading.RLock()


@contextmanager
def seeded(seed: int, device: torch.device = CPU) -> Iterator[None]:
    """Let this thread draw from a new generator on a device.

    Parameters
    ----------
    seed : int
        The seed.
    device : torch.device, default=torch.device("cpu")
        Random tensors on this type of device are drawn from the generator.
    """
    before = _CURRENT.generators
    generator = torch.Generator(device).manual_seed(seed)
    _CURRENT.generators = {**before, device.type: generator}
    try:
        yield
    finally:
        _CURRENT.generators = before


def generator_on(device: torch.device) -> torch.Generator | None:
    """Return the generator to draw from; outside of `seeded` None, which is PyTorch's global one."""
    return _CURRENT.generators.get(device.type)


def randn_like(x: Tensor) -> Tensor:
    """Draw standard normal numbers of the shape, dtype and device of a tensor."""
    return torch.empty_like(x).normal_(generator=generator_on(x.device))


def rand_like(x: Tensor) -> Tensor:
    """Draw uniform numbers in [0, 1) of the shape, dtype and device of a tensor."""
    return torch.empty_like(x).uniform_(generator=generator_on(x.device))


@torch.compiler.disable  # type: ignore[untyped-decorator]
def randint(low: int, high: int, shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Draw whole numbers from ``low`` to ``high - 1``, int64."""
    return torch.randint(
        low, high, shape, generator=generator_on(device), device=device, dtype=torch.int64
    )


@contextmanager
def global_generator_seeded(device: torch.device) -> Iterator[None]:
    """Seed PyTorch's global generator of a device from this thread's, and restore it afterwards.

    For functions of users that know no other generator. The global generator belongs to the whole
    process: a lock keeps the threads of this library apart, but a foreign thread that draws from it
    meanwhile is disturbed. Outside of `seeded` nothing is seeded.
    """
    own = generator_on(device)
    if own is None:
        yield
        return
    seed = torch.randint(2**62, (), generator=own, device=device, dtype=torch.int64)
    state = torch.Generator(device).manual_seed(int(seed)).get_state()
    random = torch.random if device.type == "cpu" else torch.get_device_module(device)
    # Functions of "cpu" and "mps" take no device, as there is only one.
    which = (device,) if device.type == "cuda" else ()
    with _GLOBAL_GENERATORS:
        before = random.get_rng_state(*which)
        random.set_rng_state(state, *which)
        try:
            yield
        finally:
            random.set_rng_state(before, *which)
