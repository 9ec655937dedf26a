"""Where training runs: on one device, or in several processes that torchrun started.

Each process then sees all rows, computes the same start, trains on its part of every batch on a
device of its own, and ends with the same model as the others.
"""

from __future__ import annotations

import logging
import os

import torch
from lightning_fabric import Fabric
from lightning_fabric.utilities.exceptions import MisconfigurationException


def n_processes() -> int:
    """Return how many processes torchrun started; 1 without it."""
    return int(os.environ["WORLD_SIZE"]) if torch.distributed.is_torchelastic_launched() else 1


def make_fabric(device: str, precision: str = "32-true") -> Fabric:
    """Return what moves models and batches to a device, and joins the processes if there are more.

    Parameters
    ----------
    device : str
        "cpu", "cuda", "mps" or "auto", of which each process takes its own; or "cuda:1", without
        torchrun.
    precision : str, default="32-true"
        One of Fabric's names.
    """
    kind, _, number = device.partition(":")
    devices: int | list[int] = [int(number)] if number else 1
    n_machines, strategy = 1, "auto"
    if n_processes() > 1:
        devices, strategy = int(os.environ["LOCAL_WORLD_SIZE"]), "ddp"
        n_machines = n_processes() // devices
    # Fabric announces devices at INFO, to which it sets its logger itself; a library stays quiet.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    return Fabric(
        accelerator=kind,
        devices=devices,
        num_nodes=n_machines,
        strategy=strategy,
        precision=precision,  # type: ignore[arg-type]  # names are checked by Fabric
    )


def resolve_device(name: str) -> torch.device:
    """Return the device that a name stands for on this machine, in this process.

    Parameters
    ----------
    name : str
        "cpu", "cuda", "cuda:1", "mps", or "auto" for the fastest there is.

    Raises
    ------
    ValueError
        If there is none of this name, or several processes would share it.
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
            "'auto' takes the fastest it has, 'cpu' is always there"
        ) from error
