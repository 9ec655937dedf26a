"""Compilation of a model for training, where that is possible.

``torch.compile`` on a CPU generates C++ and needs a compiler. Without one, training runs without
compilation.
"""

from __future__ import annotations

import logging
from typing import cast

import torch

from flowssl.models import JointModel

logger = logging.getLogger(__name__)


def compile_model(model: JointModel) -> JointModel:
    """Return the model behind ``torch.compile``, or the model itself where compiling fails.

    Parameters
    ----------
    model : JointModel
        On the device on which it will be trained. Both forms share its parameters.
    """
    device = next(model.parameters()).device
    try:
        # The model is compiled at its first call, deep inside the loop: a trial fails earlier.
        torch.compile(torch.sin)(torch.zeros(1, device=device))
    except RuntimeError as error:
        reason = str(error).strip().partition("\n")[0]
        logger.warning("torch.compile does not work here (%s): training without it", reason)
        return model
    return cast(JointModel, torch.compile(model))  # typed as returning a function
