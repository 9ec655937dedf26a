"""The density that a fitted classifier predicts with: flows, completion and temperature.

Everything is a function of encoded rows, runs without gradients and in float64, chunk by chunk, on
the device of the models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import log_softmax, logsumexp

from flowssl._typing import Floats
from flowssl.models import JointModel
from flowssl.preprocessing import Completion, Pixels

REDRAWS = 100
"""Times that a sampled row is drawn anew at most; a flow without training may miss every time."""

CHUNK_NUMBERS = 2_000_000
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
    """

    models: Sequence[JointModel]
    completion: Completion | Pixels
    temperature: float = 1.0

    def log_joint(self, matrix: Floats) -> Floats:
        """Return ``log p(x, y=k)`` of encoded rows, shape (n, C), nats per unit of their scales."""
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
        return np.asarray(logsumexp(log_joint, axis=1)), self.log_proba(log_joint)

    def class_prior(self) -> Floats:
        """Return ``p(y=k)`` of the first flow, shape (C,)."""
        prior: Floats = self.models[0].class_density.log_prior().detach().exp().cpu().numpy()
        return prior.astype(np.float64)

    def class_centers(self) -> Floats:
        """Return the latent at the center of each class of the first flow, shape (C, D)."""
        with torch.no_grad():
            centers: Floats = self.models[0].class_density.class_means().cpu().numpy()
        return centers.astype(np.float64)

    def latents(self, matrix: Floats, noise: Floats | float = 0.0) -> Floats:
        """Return the first flow's ``z = f(x)`` of encoded rows, holes filled, shape (n, D).

        Noise, of that shape, is added in the flow's units.
        """
        return self._through(self.models[0].latent, self.completion.typical(matrix) + noise)

    def invert(self, latents: Floats) -> Floats:
        """Return the encoded rows (n, D) of the first flow's latents."""
        return self.completion.restore(self._through(self.models[0].flow.inverse, latents))

    def sample(self, codes: torch.Tensor, temperature: float, generator: torch.Generator) -> Floats:
        """Draw an encoded row for each class index, from a flow at random; shape (n, D).

        Flows put some per cent of their mass where no row is: rows far out of the columns' ranges
        are drawn anew.
        """
        rows = self._draw(codes, temperature, generator)
        for _ in range(REDRAWS):
            far = self.completion.far(rows)
            if not far.any():
                break
            rows[far] = self._draw(codes[torch.from_numpy(far)], temperature, generator)
        return rows

    def _draw(self, codes: torch.Tensor, temperature: float, generator: torch.Generator) -> Floats:
        z = np.empty((len(codes), self.completion.dim))
        member = torch.randint(len(self.models), (len(codes),), generator=generator)
        with torch.no_grad():
            for i, model in enumerate(self.models):
                chosen = member == i
                z[chosen.numpy()] = model.sample(codes[chosen], temperature, generator).numpy()
        return self.completion.restore(z)

    def _through(self, function: Callable[[torch.Tensor], torch.Tensor], rows: Floats) -> Floats:
        """Run rows through a function of a model, chunk by chunk."""
        parameter = next(self.models[0].parameters())
        size = max(1, CHUNK_NUMBERS // self.completion.row_numbers)
        whole = torch.from_numpy(np.ascontiguousarray(rows)).to(torch.float64)
        with torch.no_grad():
            parts = [function(part.to(parameter.device)).cpu() for part in torch.split(whole, size)]
        out: Floats = torch.cat(parts).numpy()
        return out
