"""One of the processes of `measures.processes`: trains, and the first writes the losses."""

import json
import sys
from pathlib import Path

import torch
from benchmarks.gpu.measures import held_out_losses

if __name__ == "__main__":
    device, quick, out = sys.argv[1], bool(int(sys.argv[2])), Path(sys.argv[3])
    losses = held_out_losses(device, quick=quick)
    if torch.distributed.get_rank() == 0:
        out.write_text(json.dumps(losses))
