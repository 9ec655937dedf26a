"""One of the processes of `measures.processes`: trains and writes the held-out losses."""

import json
import sys
from pathlib import Path

import torch
from benchmarks.gpu.cases import untrained

from flowssl.objectives import Objective, SoftLabelLikelihood
from flowssl.training import TrainingConfig, train

if __name__ == "__main__":
    device, quick, out = sys.argv[1], bool(int(sys.argv[2])), Path(sys.argv[3])
    model, rows = untrained("digits", 300 if quick else 2_000)
    for module in model.modules():  # each process draws dropout of its own
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    config = TrainingConfig(
        max_epochs=2, steps_per_epoch=5 if quick else 50, batch_size=128, device=device
    )
    result = train(model, Objective([SoftLabelLikelihood()]), rows, rows, config)
    if not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0:
        out.write_text(json.dumps([epoch["loss"] for epoch in result.history]))
