"""The probability of categorical columns, one column after the other.

By the chain rule p(c_1, ..., c_m) = p(c_1) p(c_2 | c_1) ... p(c_m | c_1, ..., c_(m-1)). Each factor
is a softmax over the levels of its column, so the probabilities of all rows add up to one whatever
the weights are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, embedding, linear, relu

from flowssl._random import generator_on
from flowssl.bijections.base import all_true, check_shape, layer_device
from flowssl.preprocessing.levels import MISSING


class CategoryChain(nn.Module):
    """An exact probability of rows of categories, by the chain rule over columns.

    Columns are taken in the order in which they are given. The factor of column j is

        log p(c_j | c_1, ..., c_(j-1)) = log softmax(b_j + V_j relu(a_j + sum_(i<j) E_i[c_i]))

    with one vector E_i[k] for each level k of an earlier column. The hidden units of all columns
    thus share their inputs, and going from one column to the next adds one vector to a sum (the
    neural autoregressive distribution estimator of Larochelle and Murray 2011, eq. 3 to 5, and
    Uria et al. 2016, section 2, for columns of several levels; Germain et al. 2015 have the same
    factors as a network with masked weights). The matrices V start at zero: the columns of a new
    chain are independent, and each has the probabilities ``softmax(b_j)``. A single column is no
    more than a table of them.

    Parameters
    ----------
    sizes : sequence of int
        Levels K_j of each of the m columns.
    hidden_features : int, default=64
        Hidden units H of a factor.
    generator : torch.Generator, optional
        Source of the initial weights; PyTorch's global one by default.

    Attributes
    ----------
    sizes : tuple of int
        Levels of each column.

    Raises
    ------
    ValueError
        If there is no column, or one without levels.

    Examples
    --------
    >>> import torch
    >>> from flowssl.marginals import CategoryChain
    >>> chain = CategoryChain((2, 5), generator=torch.Generator().manual_seed(0))
    >>> chain.log_prob(torch.tensor([[0, 4], [1, 2]])).exp()  # a new chain is uniform
    tensor([0.1000, 0.1000], grad_fn=<ExpBackward0>)
    >>> codes, log_weight = chain.complete(torch.tensor([[-1, 4]]), torch.tensor([[0.7, 0.3]]))
    >>> codes.tolist(), round(log_weight.exp().item(), 4)
    ([[1, 4]], 0.2)
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        hidden_features: int = 64,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.sizes = tuple(sizes)
        if not self.sizes or min(self.sizes) < 1:
            raise ValueError(
                f"sizes are {self.sizes}; a chain needs at least one column, and each column at "
                "least one level"
            )
        self.hidden_features = hidden_features
        later = len(self.sizes) - 1
        n_inputs, n_outputs = sum(self.sizes[:-1]), sum(self.sizes[1:])
        # A hidden unit sums up to `later` entries of the table, as if it had that many inputs.
        bound = math.sqrt(6 / max(later, 1))
        self.levels = _uniform(n_inputs, hidden_features, bound, generator)
        self.hidden_bias = _uniform(later, hidden_features, 1.0, generator)
        self.weight = nn.Parameter(_blank(n_outputs, hidden_features).zero_())
        self.bias = nn.Parameter(_blank(sum(self.sizes)).zero_())

    def log_prob(self, codes: Tensor) -> Tensor:
        """Return the log-probability of complete rows.

        Parameters
        ----------
        codes : Tensor of shape (n, m), int64
            Levels, each from 0 to K_j - 1.

        Returns
        -------
        Tensor of shape (n,)
            In nats, in the dtype of the parameters.

        Raises
        ------
        ValueError
            If a row has another number of columns or names a level that there is not.
        """
        self._check(codes, least=0)
        return self._walk(codes, None)[1].sum(1)

    def log_factors(self, codes: Tensor, *, dropout: float = 0.0) -> Tensor:
        """Return the logarithm of each factor, for training on rows with missing levels.

        A missing level adds nothing to the later factors' sums, and its own factor counts as 1.
        This is no marginal probability: see `complete`.

        Parameters
        ----------
        codes : Tensor of shape (n, m), int64
            Levels; -1 where missing. They are not checked.
        dropout : float, default=0.0
            Probability of dropping a hidden unit, by the generator of `flowssl._random`.

        Returns
        -------
        Tensor of shape (n, m)
            In nats.
        """
        sizes, before = list(self.sizes), codes[:, :-1]
        starts = torch.tensor([0, *accumulate(sizes[:-2])], device=codes.device, dtype=torch.int64)
        # All columns at once, and not one after the other as in `_walk`: twice as fast.
        sums = _vectors(before, self.levels, starts).cumsum(1)
        hidden = _dropped(relu(sums + self.hidden_bias), dropout)
        bias, weight = torch.split(self.bias, sizes), torch.split(self.weight, sizes[1:])
        logits = (bias[0].expand(len(codes), -1), *map(linear, hidden.unbind(1), weight, bias[1:]))
        return torch.stack([*map(_log_prob_of, codes.unbind(1), logits)], dim=1)

    def complete(self, codes: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """Draw missing levels given the columns before them, and weight the rows for it.

        The mean of ``exp(log_weight)`` over draws is the probability of the observed levels: an
        importance-sampling estimate without bias (sequential imputation, Kong, Liu and Wong 1994,
        section 2). Where no column after a missing one is observed, every draw has the exact
        probability. Rows with all levels missing become samples of the chain.

        Parameters
        ----------
        codes : Tensor of shape (n, m), int64
            Levels; -1 where missing.
        uniform : Tensor of shape (n, m)
            Numbers in (0, 1), from which levels are drawn by the inverse of the distribution
            function; those of observed columns are not used.

        Returns
        -------
        codes : Tensor of shape (n, m), int64
            Complete rows.
        log_weight : Tensor of shape (n,)
            Sum of the log-probabilities, in nats, of observed levels given all columns before
            them; 0 for a row without any.

        Raises
        ------
        ValueError
            If a row has another number of columns or names a level that there is not.
        """
        self._check(codes, least=MISSING)
        check_shape(uniform, len(self.sizes))
        completed, factors = self._walk(codes, uniform)
        return completed, factors.sum(1)

    def extra_repr(self) -> str:
        """Return the sizes for ``repr``."""
        return f"{self.sizes}, hidden_features={self.hidden_features}"

    def _walk(self, codes: Tensor, uniform: Tensor | None) -> tuple[Tensor, Tensor]:
        """Go from column to column; return the codes and the logarithms of their factors.

        Missing levels are drawn if there are uniform numbers; their factors count as 1.
        """
        sizes = list(self.sizes)
        levels = torch.split(self.levels, sizes[:-1])
        weight = torch.split(self.weight, sizes[1:])
        bias = torch.split(self.bias, sizes)
        total = self.levels.new_zeros(len(codes), self.hidden_features)
        logits = bias[0].expand(len(codes), -1)
        completed: list[Tensor] = []
        factors: list[Tensor] = []
        for j, column in enumerate(codes.unbind(1)):
            if j > 0:
                total = total + _vectors(completed[-1], levels[j - 1])
                logits = linear(relu(total + self.hidden_bias[j - 1]), weight[j - 1], bias[j])
            factors.append(_log_prob_of(column, logits))
            if uniform is not None:
                column = torch.where(column == MISSING, _drawn(logits, uniform[:, j]), column)
            completed.append(column)
        return torch.stack(completed, dim=1), torch.stack(factors, dim=1)

    def _check(self, codes: Tensor, *, least: int) -> None:
        check_shape(codes, len(self.sizes))
        sizes = torch.tensor(self.sizes, device=codes.device, dtype=torch.int64)
        wrong = (codes < least) | (codes >= sizes)
        if not all_true(~wrong):
            row, j = wrong.nonzero()[0].tolist()
            advice = "; `complete` takes missing levels" if codes[row, j] == MISSING else ""
            raise ValueError(
                f"the level of column {j} is {int(codes[row, j])} in row {row}, and has to be from "
                f"{least} to {self.sizes[j] - 1}{advice}"
            )


def _vectors(codes: Tensor, table: Tensor, starts: Tensor | int = 0) -> Tensor:
    """Return the row of a table (K, H) for each level, zeros where it is missing.

    The rows of a column begin at its number in ``starts``.
    """
    return embedding(codes.clamp_min(0) + starts, table) * (codes != MISSING)[..., None]


def _dropped(hidden: Tensor, probability: float) -> Tensor:
    """Leave out hidden units (n, m, H) at random, the same for all columns of a row."""
    if not probability:
        return hidden
    kept = hidden.new_empty(hidden.shape[0], 1, hidden.shape[2])
    kept.bernoulli_(1 - probability, generator=generator_on(hidden.device))
    return hidden * (kept / (1 - probability))


def _log_prob_of(column: Tensor, logits: Tensor) -> Tensor:
    """Return the log-probability (n,) of each level of a column, 0 where it is missing."""
    return -cross_entropy(logits, column, ignore_index=MISSING, reduction="none")


def _drawn(logits: Tensor, uniform: Tensor) -> Tensor:
    """Draw a level for each row by the inverse of the distribution function."""
    # Without the last level, up to which probabilities may add up to less than 1 by rounding.
    below = logits.softmax(1).cumsum(1)[:, :-1]
    return (below < uniform[:, None]).sum(1)


def _blank(*shape: int) -> Tensor:
    return torch.empty(shape, device=layer_device(), dtype=torch.float32)


def _uniform(
    rows: int, columns: int, bound: float, generator: torch.Generator | None
) -> nn.Parameter:
    return nn.Parameter(_blank(rows, columns).uniform_(-bound, bound, generator=generator))
