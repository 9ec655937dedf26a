"""Fit a chain of categories by maximum likelihood.

The loop is one of its own: `flowssl.training.train` is for models of rows together with classes.
Batches of rows and the schedule of the learning rate are the same.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from flowssl._isolation import isolated
from flowssl._random import CPU, seeded
from flowssl._typing import Booleans, Floats, Integers
from flowssl.marginals.categories import CategoryChain
from flowssl.preprocessing.levels import MISSING
from flowssl.training.batches import TrainingRows
from flowssl.training.devices import one_thread
from flowssl.training.optimization import rate_schedule

SMOOTHING = 0.5
"""Rows that are added to the count of each level, so that none has the probability zero."""

DROPOUT = 0.3
"""Fraction of the hidden units that are left out at random in training."""

STEPS = 30
"""Optimizer steps of an epoch, whatever the number of rows: few rows are passed over often."""

BATCH = 256
LEARNING_RATE = 5e-3
DECAYED_ROWS = 500
"""Weight decay of AdamW times training rows: the fewer rows, the more; at most 1."""

WARMUP = 0.05
GRADIENT_CLIP = 5.0
RENEWAL = 0.02
"""Part of the averaged weights that a step replaces: the average covers about 50 steps."""

PATIENCE = 10
"""Epochs without a better held-out likelihood before training stops."""

MATCHINGS = 4
"""Times that the frequencies of levels are matched after training."""

AT_ONCE = 4096
"""Rows that go through the chain at once outside of training steps."""


@isolated()
def fit_category_chain(
    codes: Integers,
    sizes: Sequence[int],
    *,
    held_out: Booleans,
    weight: Floats | None = None,
    hidden_features: int = 64,
    max_epochs: int = 50,
    seed: int = 0,
    device: torch.device = CPU,
) -> CategoryChain:
    """Fit a chain by maximum likelihood; it ends with the weights that suit held-out rows best.

    It begins as the model of independent columns with the frequencies of the training rows. This is
    the first candidate: an epoch is taken only if held-out rows are likelier under it. At the end the
    frequencies of all rows, those held out too, set the biases.

    Parameters
    ----------
    codes : ndarray of shape (n, m)
        Levels, each from 0 to K_j - 1; -1 where missing.
    sizes : sequence of int
        Levels K_j of each column.
    held_out : ndarray of shape (n,), bool
        Rows that choose the epoch and are not trained on. If there are none, or no others, the
        columns stay independent.
    weight : ndarray of shape (n,), optional
        A row of weight 2 counts as that row twice; those of weight 0 are left out.
    hidden_features : int, default=64
        Hidden units of a factor.
    max_epochs : int, default=50
        Largest number of epochs of ``STEPS`` steps each.
    seed : int, default=0
        All random numbers of the training follow from it.
    device : torch.device, default=torch.device("cpu")
        Where the chain is trained, and stays.

    Returns
    -------
    CategoryChain
        In evaluation mode, without gradients.
    """
    rows, is_held_out = _rows(codes, weight), torch.tensor(held_out)
    trained = rows.take(~is_held_out & (rows.weight > 0))
    others = rows.take(is_held_out & (rows.weight > 0))
    generator = torch.Generator().manual_seed(seed)
    chain = CategoryChain(sizes, hidden_features=hidden_features, generator=generator)
    can_train = len(chain.sizes) > 1 and len(trained) and len(others) and max_epochs > 0
    with torch.no_grad():
        chain.bias.copy_(_log_frequencies(trained if can_train else rows, chain.sizes))
    chain.to(device)
    if can_train:
        with one_thread(), seeded(seed, device):
            _train(chain, trained.to(device), others.to(device), max_epochs, generator)
            _match_frequencies(chain, rows)
    return chain.eval().requires_grad_(False)


def _train(
    chain: CategoryChain,
    rows: TrainingRows,
    held_out: TrainingRows,
    max_epochs: int,
    generator: torch.Generator,
) -> None:
    """Train a chain in place; it ends with the averaged weights of its best epoch."""
    average = copy.deepcopy(chain)
    averaged: list[Tensor] = list(average.parameters())
    present: list[Tensor] = list(chain.parameters())
    best, best_loss, best_epoch = copy.deepcopy(chain.state_dict()), _loss(chain, held_out), 0
    optimizer = torch.optim.AdamW(
        [
            {
                "params": [chain.levels, chain.weight],
                "weight_decay": min(1, DECAYED_ROWS / len(rows)),
            },
            {"params": [chain.hidden_bias, chain.bias], "weight_decay": 0.0},
        ],
        lr=LEARNING_RATE,
        fused=True,
    )
    n_steps = max_epochs * STEPS
    for step, batch in enumerate(rows.batches(BATCH, n_steps, None, generator), start=1):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * rate_schedule(step - 1, n_steps, WARMUP)
        factors = chain.log_factors(batch.x, dropout=DROPOUT)
        loss = -(batch.weight * factors.sum(1)).sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(present, GRADIENT_CLIP)
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(averaged, present, RENEWAL)
        if step % STEPS:
            continue
        loss_now, epoch = _loss(average, held_out), step // STEPS
        if loss_now < best_loss:
            best, best_loss, best_epoch = copy.deepcopy(average.state_dict()), loss_now, epoch
        elif epoch - best_epoch >= PATIENCE:
            break
    chain.load_state_dict(best)


def _match_frequencies(chain: CategoryChain, rows: TrainingRows) -> None:
    """Let each level be as likely, on average over rows, as it is frequent among them.

    There the likelihood is greatest in the biases. Dropout, averaging and stopping early leave them
    beside it, and they have not seen the held-out rows.
    """
    device, counts = chain.bias.device, _counts(rows, chain.sizes)
    totals = [of_column.sum().expand_as(of_column) for of_column in counts]
    target = _log_frequencies(rows, chain.sizes).exp() * torch.cat(totals)
    parts = list(zip(torch.split(rows.x, AT_ONCE), torch.split(rows.weight, AT_ONCE), strict=True))
    for _ in range(MATCHINGS):
        # The derivative of the log-likelihood by a bias is the count of its level less the
        # expected one, which is the sum of the level's probabilities.
        expected = torch.cat(counts)
        for x, weight in parts:
            log_prob = (weight.to(device) * chain.log_factors(x.to(device)).sum(1)).sum()
            expected -= torch.autograd.grad(log_prob, chain.bias)[0].cpu()
        with torch.no_grad():
            step = ((target + SMOOTHING) / (expected + SMOOTHING)).log()
            chain.bias.add_(step.to(chain.bias))


@torch.no_grad()
def _loss(chain: CategoryChain, rows: TrainingRows) -> float:
    """Return the weighted mean of -log p over the observed levels of rows."""
    log_prob = torch.cat([chain.log_factors(x).sum(1) for x in torch.split(rows.x, AT_ONCE)])
    return -float((rows.weight * log_prob).sum() / rows.weight.sum())


def _rows(codes: Integers, weight: Floats | None) -> TrainingRows:
    """Return rows of categories as training rows, which here have no classes."""
    x, n = torch.tensor(codes, dtype=torch.int64), len(codes)
    counted = torch.ones(n, dtype=torch.float32)
    if weight is not None:
        counted = torch.tensor(weight, dtype=torch.float32)
    none = torch.zeros(n, 0, dtype=torch.float32)
    return TrainingRows(x, none, torch.zeros(n, dtype=torch.bool), counted)


def _counts(rows: TrainingRows, sizes: tuple[int, ...]) -> list[Tensor]:
    """Return the weight of the rows with each level, (K_j,) for each column."""
    counts = []
    for column, size in zip(rows.x.unbind(1), sizes, strict=True):
        observed = column != MISSING
        counts.append(torch.bincount(column[observed], rows.weight[observed].double(), size))
    return counts


def _log_frequencies(rows: TrainingRows, sizes: tuple[int, ...]) -> Tensor:
    """Return the logarithms of the smoothed frequencies, one column after the other."""
    counts = _counts(rows, sizes)
    return torch.cat([log_softmax((of_column + SMOOTHING).log(), 0) for of_column in counts])
