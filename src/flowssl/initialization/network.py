"""A small convolutional network on the labeled images: one more candidate of the start of images.

The other candidates know images by their principal components and cannot tell what a view does not
change. This one is trained in the views, and cross-fitted label likelihood says what it is worth.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pixel_unshuffle, relu

from flowssl.image_architectures import has_fast_bfloat16
from flowssl.training.seeding import seeded

WIDTHS = (32, 64)
DROPOUT = 0.3
BATCH = 96
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 0.01
PREDICTED_AT_ONCE = 500


class ConvNet(nn.Module):
    """A residual block at half of the side, one at a quarter; logits from the mean over the places.

    As wide as the conditioners of the flow's "small" preset. Batch normalization is allowed here:
    nothing of this network becomes part of the density.

    Parameters
    ----------
    channels : int
        Of the images; their sides are even.
    n_classes : int
        Number of logits.
    """

    def __init__(self, channels: int, n_classes: int) -> None:
        super().__init__()
        fine, coarse = WIDTHS
        self.first = nn.Conv2d(4 * channels, fine, 3, padding=1)
        self.fine = _Block(fine)
        self.down = nn.Conv2d(fine, coarse, 3, stride=2, padding=1)
        self.coarse = _Block(coarse)
        self.head = nn.Sequential(
            nn.BatchNorm2d(coarse),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(DROPOUT),
            nn.Linear(coarse, n_classes),
        )

    def forward(self, levels: Tensor) -> Tensor:
        """Map images of levels (n, c, h, w), 0 to 256, to logits (n, n_classes)."""
        x = pixel_unshuffle(levels / 128 - 1, 2).contiguous(memory_format=torch.channels_last)
        logits: Tensor = self.head(self.coarse(self.down(relu(self.fine(self.first(x))))))
        return logits.float()


def train_network(
    images: Tensor,
    codes: Tensor,
    n_classes: int,
    views: Callable[[Tensor], Tensor],
    *,
    n_steps: int,
    seed: int,
) -> ConvNet:
    """Train a network on labeled images, each seen in random views.

    Parameters
    ----------
    images : Tensor of shape (n, c, h, w)
        Levels.
    codes : Tensor of shape (n,)
        Classes 0 to C - 1.
    n_classes : int
        C.
    views : callable
        Makes a random copy of images.
    n_steps : int
        Steps of AdamW on 96 images, under one cycle of the learning rate.
    seed : int
        Everything random follows from it; the global generators are handed back untouched.
    """
    # The weights are drawn on the CPU, batches and views where the images are.
    with seeded(seed), seeded(seed, images.device):
        network = ConvNet(images.shape[1], n_classes).to(images.device)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY
        )
        rate = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, LEARNING_RATE, total_steps=n_steps + 1, pct_start=0.05
        )
        in_bfloat16 = images.device.type == "cpu" and has_fast_bfloat16()
        network.train()
        for _ in range(n_steps):
            batch = torch.randint(len(images), (BATCH,), device=images.device)
            with torch.autocast(images.device.type, torch.bfloat16, enabled=in_bfloat16):
                loss = cross_entropy(network(views(images[batch])), codes[batch])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            rate.step()
    return network.eval()


@torch.no_grad()
def class_probabilities(network: ConvNet, images: Tensor) -> NDArray[np.float64]:
    """Return class probabilities (n, C) of images (n, c, h, w) of levels."""
    device = next(network.parameters()).device
    parts = torch.split(images, PREDICTED_AT_ONCE)
    logits = torch.cat([network(part.to(device).float()) for part in parts])
    out: NDArray[np.float64] = logits.cpu().double().softmax(1).numpy()
    return out


class _Block(nn.Module):
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
