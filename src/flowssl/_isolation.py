"""Settings of the caller that must not change what a method computes.

NumPy's error state, scikit-learn's configuration and PyTorch's grad mode, inference mode, autocast
and default device belong to a thread. `isolated` sets them for the time of a call, and other threads
notice nothing. What belongs to the whole process - PyTorch's default dtype and global generators,
warning filters, levels of loggers - is never set, not even for a moment: code names its dtypes and
takes its generators from `flowssl._random`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import sklearn
import torch

BLAS = threading.RLock()
"""Held while a fit uses NumPy's matrix products, that is outside of its training loop.

The k-means of scikit-learn limits the number of BLAS threads of the whole process for its time. A
product in another thread would be rounded otherwise meanwhile, and of two such limits at once the
later one could be what is left behind. So the initializations of several fits run one after another,
and their trainings at the same time.
"""

_AUTOCAST_DEVICES = ("cpu", "cuda", "mps")


@contextmanager
def isolated() -> Iterator[None]:
    """Compute as in a fresh process; a context manager, and a decorator of public methods.

    Overflow and division by zero raise nothing inside: results are checked where they leave.
    """
    with ExitStack() as settings:
        settings.enter_context(np.errstate(all="ignore"))
        settings.enter_context(
            sklearn.config_context(
                transform_output="default",
                assume_finite=False,
                array_api_dispatch=False,
                enable_metadata_routing=False,
            )
        )
        # Tensors that are made in inference mode could never be trained.
        settings.enter_context(torch.inference_mode(False))
        settings.enter_context(torch.enable_grad())
        for kind in _AUTOCAST_DEVICES:
            if torch.is_autocast_enabled(kind):
                settings.enter_context(torch.autocast(kind, enabled=False))
        # Only where it is needed: every operation becomes slower under it.
        if torch.get_default_device().type != "cpu":
            settings.enter_context(torch.device("cpu"))
        yield
