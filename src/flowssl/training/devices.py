"""Devices of a training: one, or one for each of the processes that torchrun started.

Each process then sees all rows, computes the same initialization, trains on its part of every batch
on a device of its own, and ends with the same model as the others.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits

# Importing Fabric sets its logger to INFO, and it would announce devices: a library stays quiet.
_logger = logging.getLogger("lightning_fabric")
_level = _logger.level
from lightning_fabric import Fabric  # noqa: E402  # the level is read before
from lightning_fabric.utilities.exceptions import MisconfigurationException  # noqa: E402

_logger.setLevel(_level)


def n_processes() -> int:
    """Return the number of processes that torchrun started; 1 without it."""
    return int(os.environ["WORLD_SIZE"]) if torch.distributed.is_torchelastic_launched() else 1


def is_first_process() -> bool:
    """Return whether this is the only process, or the one of several that writes files."""
    return n_processes() == 1 or os.environ["RANK"] == "0"


def make_fabric(device: str, precision: str = "32-true") -> Fabric:
    """Return the Fabric that moves models to a device and synchronizes processes, if several.

    Parameters
    ----------
    device : str
        "cpu", "cuda", "mps" or "auto", with one device for each process; or, without torchrun,
        a numbered one such as "cuda:1".
    precision : str, default="32-true"
        One of Fabric's names.
    """
    kind, _, number = device.partition(":")
    devices: int | list[int] = [int(number)] if number else 1
    n_machines, strategy = 1, "auto"
    if n_processes() > 1:
        devices, strategy = int(os.environ["LOCAL_WORLD_SIZE"]), "ddp"
        n_machines = n_processes() // devices
    return Fabric(
        accelerator=kind,
        devices=devices,
        num_nodes=n_machines,
        strategy=strategy,
        precision=precision,  # type: ignore[arg-type]  # names are checked by Fabric
    )


def resolve_device(name: str) -> torch.device:
    """Return the device of a name on this machine, in this process.

    Parameters
    ----------
    name : str
        "cpu", "cuda", "cuda:1", "mps", or "auto" for the fastest there is.

    Raises
    ------
    ValueError
        If there is no device of this name, or several processes would share it.
    """
    kind, _, number = name.partition(":")
    if number and n_processes() > 1:
        raise ValueError(
            f"device is {name!r}, but torchrun started {n_processes()} processes, which need one "
            f"each; {kind!r} gives them that"
        )
    try:
        return make_fabric(name).device
    except (TypeError, ValueError, RuntimeError, MisconfigurationException) as error:
        raise ValueError(
            f"device is {name!r}, which this machine does not have; "
            "'auto' takes the fastest available, 'cpu' is always available"
        ) from error


def prediction_device(name: str) -> torch.device:
    """Return where a model predicts in double precision: on its device, or else on the CPU.

    Parameters
    ----------
    name : str
        As in `resolve_device`; one that this machine does not have stands for the CPU.
    """
    try:
        device = resolve_device(name)
    except ValueError:
        return torch.device("cpu")
    return torch.device("cpu") if device.type == "mps" else device  # which has no float64


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute in one thread.

    The limit of OpenMP holds for the calling thread alone; ``torch.set_num_threads`` would hold for
    all threads of the process.
    """
    torch.get_num_threads()  # PyTorch sets the thread's number at its first use, not later
    with threadpool_limits(1, user_api="openmp"):
        yield
