"""The small convolutional network that users would train on the labels alone.

One residual block at each of two scales, as wide as in a conditioner of the flow's "small" preset;
batch normalization, dropout, AdamW with a cosine. The views are those of the flow.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pixel_unshuffle, relu

from flowssl.views import Flipped, Translated

WIDTHS = (32, 64)
DROPOUT = 0.3
STEPS = 3_000
BATCH = 96
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 0.01
MARKS = 20

Weights = dict[str, Tensor]


class Block(nn.Module):
    """``x + conv(relu(norm(conv(relu(norm(x))))))`` of 3 x 3 convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, width, h, w) to the same shape."""
        out: Tensor = x + self.layers(x)
        return out


class Network(nn.Module):
    """A block at half of the side, one at a quarter; logits from the mean over the places."""

    def __init__(self, channels: int, n_classes: int) -> None:
        super().__init__()
        fine, coarse = WIDTHS
        self.first = nn.Conv2d(4 * channels, fine, 3, padding=1)
        self.fine = Block(fine)
        self.down = nn.Conv2d(fine, coarse, 3, stride=2, padding=1)
        self.coarse = Block(coarse)
        self.head = nn.Sequential(
            nn.BatchNorm2d(coarse),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(DROPOUT),
            nn.Linear(coarse, n_classes),
        )

    def forward(self, levels: Tensor) -> Tensor:
        """Map images of levels (n, c, h, w), 0 to 255, to logits (n, n_classes)."""
        x = pixel_unshuffle(levels / 127.5 - 1, 2).contiguous(memory_format=torch.channels_last)
        logits: Tensor = self.head(self.coarse(self.down(relu(self.fine(self.first(x))))))
        return logits.float()


@torch.no_grad()
def classify(network: Network, images: Tensor) -> Tensor:
    """Return the codes (n,) of the most probable classes of images (n, c, h, w)."""
    network.eval()
    return torch.cat([network(part.float()).argmax(1) for part in torch.split(images, 500)])


def train(images: Tensor, codes: Tensor, seed: int, mark: Callable[[Weights], None]) -> Network:
    """Train a network on labeled images.

    Parameters
    ----------
    images : Tensor of shape (n, c, h, w), uint8
        Levels.
    codes : Tensor of shape (n,)
        Classes 0 to C - 1.
    seed : int
        Everything random follows from it.
    mark : callable
        Is given the weights some twenty times in the training.
    """
    torch.manual_seed(seed)
    channels, n_classes = images.shape[1], int(codes.max()) + 1
    network = Network(channels, n_classes).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True
    )
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, STEPS, pct_start=0.05)
    moved = Translated(max(1, round(min(images.shape[2:]) / 8)))  # as far as the flow's views
    views = [moved, *([Flipped()] if channels == 3 else [])]
    coarse = torch.cpu.get_capabilities().get("avx512_bf16", False)
    for step in range(1, STEPS + 1):
        batch = torch.randint(len(images), (BATCH,))
        x = images[batch].float()
        for view in views:
            x = view(x)
        with torch.autocast("cpu", torch.bfloat16, enabled=coarse):
            loss = cross_entropy(network.train()(x), codes[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()
        if step % (STEPS // MARKS) == 0:
            mark(copy.deepcopy(network.state_dict()))
    return network
