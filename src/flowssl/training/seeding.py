"""Seeds for what draws from a global generator: dropout and random perturbations of rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

CPU = torch.device("cpu")


@contextmanager
def seeded(seed: int, device: torch.device = CPU) -> Iterator[None]:
    """Seed the global generator of a device, and restore its state afterwards.

    Parameters
    ----------
    seed : int
        The seed.
    device : torch.device, default=torch.device("cpu")
        Only the generator of this device is seeded; "cuda" without a number is the current one.
    """
    if device.type == "cpu":
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            yield
        return
    random = torch.get_device_module(device)
    # Functions of "mps" take no device, as there is only one.
    which = () if device.type == "mps" else (device,)
    state = random.get_rng_state(*which)
    # Not manual_seed, which seeds the current device whatever device is meant.
    random.set_rng_state(torch.Generator(device).manual_seed(seed).get_state(), *which)
    try:
        yield
    finally:
        random.set_rng_state(state, *which)
