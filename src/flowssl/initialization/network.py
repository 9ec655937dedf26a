"""A small convolutional network trained on the labeled images: an extra candidate for images.

The built-in candidates see the principal components of images and do not know which changes of an
image keep its class. The network is trained on random views, and the cross-fitted label likelihood
decides its weight.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pixel_unshuffle, relu

from flowssl._random import CPU, generator_on, randint, seeded
from flowssl._typing import Floats, Integers
from flowssl.image_architectures import has_fast_bfloat16

WIDTHS = (32, 64)
DROPOUT = 0.3
BATCH = 96
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 0.01
PREDICTED_AT_ONCE = 500

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)


class ConvNet(nn.Module):
    """Two residual blocks, at half and a quarter of the resolution, and global average pooling.

    It is as wide as the conditioners of the flow's "small" preset. Batch normalization is fine here,
    because the network does not become part of the density. Initial weights are drawn from the
    generator of `flowssl._random`.

    Parameters
    ----------
    channels : int
        Channels of the images, whose height and width are even.
    n_classes : int
        Number of classes C.
    """

    def __init__(self, channels: int, n_classes: int) -> None:
        super().__init__()
        fine, coarse = WIDTHS
        self.first = _drawn(nn.Conv2d(4 * channels, fine, 3, padding=1, device="meta"))
        self.fine = _Block(fine)
        self.down = _drawn(nn.Conv2d(fine, coarse, 3, stride=2, padding=1, device="meta"))
        self.coarse = _Block(coarse)
        self.head = nn.Sequential(
            nn.BatchNorm2d(coarse, dtype=torch.float32),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            _Dropout(DROPOUT),
            _drawn(nn.Linear(coarse, n_classes, device="meta")),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map images (n, c, h, w) of pixel values from 0 to 256 to logits (n, C)."""
        x = pixel_unshuffle(images / 128 - 1, 2).contiguous(memory_format=torch.channels_last)
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
    """Train a network on random views of labeled images by cross-entropy.

    Parameters
    ----------
    images : Tensor of shape (n, c, h, w)
        Labeled images; pixel values from 0 to 256.
    codes : Tensor of shape (n,)
        Their classes, 0 to C - 1.
    n_classes : int
        Number of classes C.
    views : callable
        Makes random views of images.
    n_steps : int
        Steps of AdamW on batches of 96 images, with one cycle of the learning rate (Smith and
        Topin, 2019).
    seed : int
        Seed of weights, batches, views and dropout.
    """
    # Weights are drawn on the CPU, batches and views on the device of the images.
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
            batch = randint(0, len(images), (BATCH,), images.device)
            with torch.autocast(images.device.type, torch.bfloat16, enabled=in_bfloat16):
                loss = cross_entropy(network(views(images[batch])), codes[batch])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            rate.step()
    return network.eval()


def _drawn(layer: Layer) -> Layer:
    """Give a layer without memory the initial weights of PyTorch, from this thread's generator."""
    layer = layer.to_empty(device="cpu").float()
    generator = generator_on(CPU)
    nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
    if layer.bias is not None:
        bound = layer.weight[0].numel() ** -0.5
        nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
    return layer


@torch.no_grad()
def class_probabilities(network: ConvNet, images: Tensor) -> Floats:
    """Return class probabilities (n, C) of images (n, c, h, w) of pixel values."""
    device = next(network.parameters()).device
    parts = torch.split(images, PREDICTED_AT_ONCE)
    logits = torch.cat([network(part.to(device).float()) for part in parts])
    out: Floats = logits.cpu().double().softmax(1).numpy()
    return out


@dataclass(frozen=True)
class NetworkCandidate:
    """The network as a candidate of `flowssl.initialization.propagate`.

    Attributes
    ----------
    images : Tensor of shape (n, c, h, w)
        All images; pixel values from 0 to 256.
    n_classes : int
        Number of classes C.
    views : callable
        Makes random views of images.
    n_steps : int
        Optimizer steps of each training.
    seed : int
        Seed of each training.
    device : torch.device
        Where the network is trained.
    name : str
        Name in the record.
    """

    images: Tensor
    n_classes: int
    views: Callable[[Tensor], Tensor]
    n_steps: int
    seed: int
    device: torch.device
    name: str = "pixels: convolutional network"

    def fit_predict(self, codes: Integers, rows: Integers) -> Floats:
        """Train on the images with a code and return class probabilities (k, C) of `rows` (k,)."""
        labeled = np.flatnonzero(codes >= 0)
        network = train_network(
            self.images[torch.from_numpy(labeled)].to(self.device),
            torch.from_numpy(codes[labeled]).to(self.device),
            self.n_classes,
            self.views,
            n_steps=self.n_steps,
            seed=self.seed,
        )
        parts = torch.split(torch.from_numpy(rows), PREDICTED_AT_ONCE)
        return np.concatenate([class_probabilities(network, self.images[part]) for part in parts])


class _Dropout(nn.Dropout):
    """Dropout that draws from this thread's generator."""

    def forward(self, x: Tensor) -> Tensor:
        """Drop units and scale up the others, in training mode only."""
        if not self.training:
            return x
        kept = torch.empty_like(x).bernoulli_(1 - self.p, generator=generator_on(x.device))
        return x * kept.div_(1 - self.p)


class _Block(nn.Module):
    """``x + conv(relu(norm(conv(relu(norm(x))))))`` of 3 x 3 convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm2d(width, dtype=torch.float32),
            nn.ReLU(),
            _drawn(nn.Conv2d(width, width, 3, padding=1, bias=False, device="meta")),
            nn.BatchNorm2d(width, dtype=torch.float32),
            nn.ReLU(),
            _drawn(nn.Conv2d(width, width, 3, padding=1, bias=False, device="meta")),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, width, h, w) to the same shape."""
        out: Tensor = x + self.layers(x)
        return out
