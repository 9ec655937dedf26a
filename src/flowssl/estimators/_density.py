"""The density that a fitted classifier predicts with: flows, completion and temperature.

Everything is a function of encoded rows, runs without gradients and in float64, chunk by chunk, on
the device of the models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.special import log_softmax, logsumexp, softmax

from flowssl._typing import Floats, Integers
from flowssl.densities import (
    ClassDensity,
    ConditionalFlowClasses,
    GaussianClasses,
    SemiConditionalClasses,
)
from flowssl.marginals import Marginal
from flowssl.models import JointModel
from flowssl.preprocessing import Completion, Pixels

REDRAWS = 100
"""Times that a sampled row is resampled at most; a flow without training may miss every time."""

ROUNDS = 20
"""Rounds of as many rows as are wanted in which rows of p(x) are drawn for given classes."""

LEAST_POOL = 256
"""Rows of a round at least."""

CHUNK_NUMBERS = 250_000
"""Numbers (rows x draws x columns) that go through a flow at once."""


@dataclass(frozen=True)
class FittedDensity:
    """The average of the densities of several flows, and their calibrated posterior.

    Attributes
    ----------
    models : sequence of JointModel
        Trained, in a flow's units.
    completion : Completion or Pixels
        The step from encoded rows to those units.
    temperature : float
        Divisor of the log-odds in the posterior.
    marginal : Marginal or None
        p(x), where it has a density of its own; the models then give p(y | x) only.
    variance : float
        Factor of the covariances of the class Gaussians in the posterior, and nowhere else.
    """

    models: Sequence[JointModel]
    completion: Completion | Pixels
    temperature: float = 1.0
    marginal: Marginal | None = None
    variance: float = 1.0

    def log_joint(self, matrix: Floats) -> Floats:
        """Return ``log p(x, y=k)`` of encoded rows, shape (n, C), nats per unit of their scales."""
        if self.marginal is None:
            return self.class_log_joint(matrix)
        return self.marginal.log_joint(matrix, self._log_posterior)[0]

    def log_prob(self, matrix: Floats) -> tuple[Floats, Floats]:
        """Return ``log p(x)`` of encoded rows and its standard error, both (n,), nats.

        The error is that of the draws over which missing values are integrated; NaN where it is not
        known.
        """
        if self.marginal is not None:
            return self.marginal.log_prob(matrix)
        log_prob = np.asarray(logsumexp(self.class_log_joint(matrix), axis=1))
        is_exact = self.completion.n_draws(matrix) == 1
        return log_prob, np.full(len(matrix), 0.0 if is_exact else np.nan)

    def _log_posterior(self, matrix: Floats) -> Floats:
        log_posterior: Floats = log_softmax(self.class_log_joint(matrix), axis=1)
        return log_posterior

    def class_log_joint(self, matrix: Floats) -> Floats:
        """Return the log-joint (n, C) of the models alone."""
        n_draws = self.completion.n_draws(matrix)
        size = max(1, CHUNK_NUMBERS // (n_draws * self.completion.row_numbers))
        parts = [np.empty((0, self.models[0].n_classes))]
        for first in range(0, len(matrix), size):
            rows = self.completion.completed(matrix[first : first + size])
            n, s, dim = rows.z.shape
            flat = rows.z.reshape(-1, dim)
            members = [self._through(model.log_joint, flat) for model in self.models]
            log_joint = logsumexp(members, axis=0) - np.log(len(members))
            log_joint = log_joint.reshape(n, s, -1) + rows.log_weight[:, :, None]
            parts.append(logsumexp(log_joint, axis=1) - np.log(s))
        return np.concatenate(parts)

    def log_proba(self, log_joint: Floats) -> Floats:
        """Return the calibrated ``log p(y=k | x)`` (n, C) of a log-joint (n, C)."""
        log_proba: Floats = log_softmax(log_joint / self.temperature, axis=1)
        return log_proba

    def evaluate(self, matrix: Floats) -> tuple[Floats, Floats]:
        """Return ``log p(x)`` (n,) and the calibrated ``log p(y=k | x)`` (n, C), in one pass."""
        log_joint = self.log_joint(matrix)
        scores = log_joint if self.variance == 1.0 else self.class_scores(matrix)
        return np.asarray(logsumexp(log_joint, axis=1)), self.log_proba(scores)

    def class_scores(self, matrix: Floats) -> Floats:
        """Return what `log_proba` takes: log-odds (n, C) of the classes, with the calibrated variance.

        They lack the p(x) of complete rows, which the classes do not need.
        """
        density = self if self.variance == 1.0 else self.widened(self.variance)
        scores, missing = density.class_log_joint, np.isnan(matrix).any(1)
        if density.marginal is None or not missing.any():
            return scores(matrix)
        # Which values a row may have where it misses some, p(x) says.
        out = np.empty((len(matrix), self.models[0].n_classes))
        out[~missing] = scores(matrix[~missing])
        out[missing] = density.log_joint(matrix[missing])
        return out

    def widened(self, variance: float) -> FittedDensity:
        """Return the density whose class Gaussians have covariances times a factor.

        Raises
        ------
        ValueError
            If its classes are no Gaussians.
        """
        models = [JointModel(m.flow, _widened(m.class_density, variance)) for m in self.models]
        return replace(self, models=models, variance=1.0)

    def class_prior(self) -> Floats:
        """Return ``p(y=k)`` of the first flow, shape (C,)."""
        prior: Floats = self.models[0].class_density.log_prior().detach().exp().cpu().numpy()
        return prior.astype(np.float64)

    def class_centers(self) -> Floats:
        """Return the latent at the center of each class of the first flow, shape (C, D)."""
        with torch.no_grad():
            centers: Floats = self.models[0].class_density.class_means().cpu().numpy()
        return centers.astype(np.float64)

    def gaussians(self) -> tuple[Floats, Floats]:
        """Return the means (C, M, F) and covariances (C, M, F, F) of the first model's Gaussians.

        Raises
        ------
        AttributeError
            If its classes are no Gaussians.
        """
        inner = self._class_density
        if not isinstance(inner, GaussianClasses):
            raise AttributeError(
                "only class_density='gaussian' has means and covariances; the classes are "
                f"described by {type(inner).__name__}"
            )
        matrices = inner.covariance.matrices().reshape(*inner.means.shape, -1)
        return inner.means.detach().cpu().numpy(), matrices.detach().cpu().numpy()

    def latents(self, matrix: Floats, noise: Floats | float = 0.0) -> Floats:
        """Return the first flow's ``z = f(x)`` of encoded rows, missing values filled, shape (n, D).

        Noise, of that shape, is added in the flow's units.
        """
        size = max(1, CHUNK_NUMBERS // self.completion.row_numbers)
        noise = np.broadcast_to(noise, matrix.shape)
        parts = [
            self._through(
                self.models[0].latent,
                self.completion.typical(matrix[first : first + size]) + noise[first : first + size],
            )
            for first in range(0, max(1, len(matrix)), size)
        ]
        return np.concatenate(parts)

    def squared_distance(self, matrix: Floats) -> Floats:
        """Return the squared latent distance of encoded rows to the nearest Gaussian, shape (n,).

        Missing values are filled; of several flows it is the average.
        """
        rows = self.completion.typical(matrix)
        members = [self._through(model.squared_distance, rows) for model in self.models]
        return np.asarray(np.mean(members, axis=0))

    def invert(self, latents: Floats) -> Floats:
        """Return the encoded rows (n, D) of the first flow's latents."""
        return self.completion.restore(self._through(self.models[0].flow.inverse, latents))

    def encode_class(self, z: Floats, codes: Integers) -> Floats:
        """Replace the first latents of rows (n, D) of classes (n,) by their class-free code.

        Raises
        ------
        ValueError
            If the classes of the first model are no flows.
        """
        return self._exchange(z, codes, ConditionalFlowClasses.encode)

    def decode_class(self, code: Floats, codes: Integers) -> Floats:
        """Return the latents (n, D) of codes in the given classes (n,); see `encode_class`."""
        return self._exchange(code, codes, ConditionalFlowClasses.decode)

    def _exchange(
        self,
        z: Floats,
        codes: Integers,
        map_: Callable[[ConditionalFlowClasses, torch.Tensor, torch.Tensor], torch.Tensor],
    ) -> Floats:
        inner = self._class_density
        if not isinstance(inner, ConditionalFlowClasses):
            raise ValueError(
                "only class_density='flow' has a code without the class; the classes are described "
                f"by {type(inner).__name__}"
            )
        with torch.no_grad():
            first, others = torch.split(
                torch.from_numpy(z).to(self._device), [inner.dim, z.shape[1] - inner.dim], dim=1
            )
            mapped = map_(inner, first, torch.from_numpy(codes).to(self._device))
            out: Floats = torch.cat((mapped, others), dim=1).cpu().numpy()
        return out

    @property
    def _class_density(self) -> ClassDensity:
        """The class density of the first model, without its auxiliary latents."""
        density = self.models[0].class_density
        return density.inner if isinstance(density, SemiConditionalClasses) else density

    def sample(self, codes: torch.Tensor, temperature: float, generator: torch.Generator) -> Floats:
        """Draw an encoded row for each class index (n,), from a flow at random; shape (n, D).

        Temperatures other than 1 are those of the class densities, from which rows are then drawn.
        Flows put a few percent of their mass where no row is: rows far outside the columns' ranges
        are resampled.
        """
        marginal = self.marginal

        def draw(codes: torch.Tensor) -> Floats:
            if marginal is None or temperature != 1.0:
                return self._draw(codes, temperature, generator)
            return self._draw_of_marginal(marginal, codes, generator)

        rows = draw(codes)
        for _ in range(REDRAWS):
            far = self.completion.far(rows)
            if not far.any():
                break
            rows[far] = draw(codes[torch.from_numpy(far)])
        return rows

    def _draw_of_marginal(
        self,
        marginal: Marginal,
        codes: torch.Tensor,
        generator: torch.Generator,
    ) -> Floats:
        """Draw rows of p(x | y): rows of p(x), each accepted for a class drawn for it.

        What is left after some rounds, of classes that are rare in p(x), is drawn from the rows of
        all rounds in proportion to p(y | x).
        """
        wanted = codes.numpy()
        rows, open_ = np.empty((len(wanted), self.completion.dim)), np.ones(len(wanted), dtype=bool)
        pool, log_pool = [], []
        for _ in range(ROUNDS):
            drawn = marginal.sample(max(len(wanted), LEAST_POOL), generator)
            log_posterior = self._log_posterior(drawn)
            pool.append(drawn)
            log_pool.append(log_posterior)
            uniform = torch.rand(len(drawn), 1, dtype=torch.float64, generator=generator).numpy()
            classes = (np.exp(log_posterior).cumsum(1)[:, :-1] < uniform).sum(1)
            for k in np.unique(wanted[open_]):
                places, found = np.flatnonzero(open_ & (wanted == k)), np.flatnonzero(classes == k)
                n = min(len(places), len(found))
                rows[places[:n]] = drawn[found[:n]]
                open_[places[:n]] = False
            if not open_.any():
                return rows
        drawn, log_posterior = np.concatenate(pool), np.concatenate(log_pool)
        for k in np.unique(wanted[open_]):
            places = np.flatnonzero(open_ & (wanted == k))
            share = torch.from_numpy(softmax(log_posterior[:, k]))
            chosen = torch.multinomial(share, len(places), replacement=True, generator=generator)
            rows[places] = drawn[chosen.numpy()]
        return rows

    def _draw(self, codes: torch.Tensor, temperature: float, generator: torch.Generator) -> Floats:
        z = np.empty((len(codes), self.completion.dim))
        member = torch.randint(len(self.models), (len(codes),), generator=generator)
        device = self._device
        on_device = generator
        if device.type != "cpu":  # a generator serves one device
            seed = int(torch.randint(2**62, (), generator=generator))
            on_device = torch.Generator(device).manual_seed(seed)
        with torch.no_grad():
            for i, model in enumerate(self.models):
                chosen = member == i
                drawn = model.sample(codes[chosen].to(device), temperature, on_device)
                z[chosen.numpy()] = drawn.cpu().numpy()
        return self.completion.restore(z)

    @property
    def _device(self) -> torch.device:
        return next(self.models[0].parameters()).device

    def _through(self, function: Callable[[torch.Tensor], torch.Tensor], rows: Floats) -> Floats:
        """Run rows through a function of a model, chunk by chunk, on its device."""
        device = self._device
        size = max(1, CHUNK_NUMBERS // self.completion.row_numbers)
        whole = torch.from_numpy(np.ascontiguousarray(rows)).to(torch.float64)
        with torch.no_grad():
            parts = [function(part.to(device)).cpu() for part in torch.split(whole, size)]
        out: Floats = torch.cat(parts).numpy()
        return out


def _widened(classes: ClassDensity, variance: float) -> ClassDensity:
    """Return class Gaussians with covariances times a factor; N(0, I) of other latents stays."""
    if isinstance(classes, SemiConditionalClasses):
        return SemiConditionalClasses(_widened(classes.inner, variance), classes.dim)
    if not isinstance(classes, GaussianClasses):
        raise ValueError(
            "method='variance' is for classes that are Gaussians; these are described by "
            f"{type(classes).__name__}. Use method='temperature'"
        )
    return classes.widened(variance)
