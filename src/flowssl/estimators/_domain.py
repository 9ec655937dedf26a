"""The kind of rows an estimator has: the one place where tables and images part.

An estimator makes its `Domain` from its parameters and asks it for all that goes otherwise for the
two: encoding, the start, the flow and its first latents, the objective, and what "auto" stands for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from flowssl._typing import Floats
from flowssl.bijections import Chain
from flowssl.estimators._fitting import Automatic, Preparation
from flowssl.estimators._rows import Rows
from flowssl.initialization import SoftLabels, propagate
from flowssl.models import JointModel
from flowssl.objectives import Objective
from flowssl.preprocessing import Completion, ImageEncoder, Pixels, TableEncoder

if TYPE_CHECKING:
    from flowssl.estimators.base import FlowClassifier


LEAST_CLASS_FEATURES = 8


@dataclass(frozen=True)
class FlowInit:
    """An untrained flow and where it puts some training rows, at which the classes start.

    Attributes
    ----------
    architecture : str
        Name of its preset.
    flow : Chain
        In the default dtype.
    latents : ndarray of shape (m, D)
        Of the rows.
    share : ndarray of shape (m, C)
        How much of each row's weight belongs to each class.
    codes : ndarray of shape (m,), int64
        Class of each row, -1 for unlabeled.
    """

    architecture: str
    flow: Chain
    latents: Floats
    share: Floats
    codes: NDArray[np.int64]

    @property
    def dim(self) -> int:
        """Number D of latents."""
        return int(self.latents.shape[1])

    @property
    def n_classes(self) -> int:
        """Number C of classes."""
        return int(self.share.shape[1])


class Domain(ABC):
    """What estimators do otherwise with one kind of rows than with another.

    Attributes
    ----------
    max_held_out : int
        Rows held out at most.
    cross_entropy_weight : float
        Automatic weight of a column in the cross-entropy.
    gathers_classes : bool
        Whether a linear map at the flow's end has to bring the classes to the first latents.
    settling_rows : int
        Unlabeled rows with which the class part settles at most, and copies of few rows with
        noise of their own at least.
    settling_share : float
        Share of the cross-entropy's weight that it keeps then.
    """

    max_held_out: ClassVar[int]
    cross_entropy_weight: ClassVar[float]
    gathers_classes: ClassVar[bool]
    settling_rows: ClassVar[int]
    settling_share: ClassVar[float]

    @abstractmethod
    def encoder(self) -> TableEncoder | ImageEncoder:
        """Return a new encoder of the user's rows."""

    @abstractmethod
    def completion(
        self, encoder: TableEncoder | ImageEncoder, matrix: Floats
    ) -> Completion | Pixels:
        """Fit the step from encoded training rows (n, D) to a flow's units."""

    @abstractmethod
    def read_completion(self, arrays: Mapping[str, NDArray[np.generic]]) -> Completion | Pixels:
        """Rebuild that step from its ``to_arrays``."""

    def propagate(self, filled: Floats, rows: Rows, prior: Floats | None, seed: int) -> SoftLabels:
        """Return class probabilities of all rows, given without holes, from the labels of some."""
        return propagate(
            filled,
            rows.codes,
            rows.n_classes,
            class_prior=prior,
            sample_weight=rows.weight,
            random_state=seed,
        )

    @abstractmethod
    def automatic(self, n_rows: int, dim: int) -> Automatic:
        """Return what "auto" stands for in a training on ``n_rows`` rows of ``dim`` columns."""

    def check(self, architecture: str) -> None:  # noqa: B027  # a hook, not a duty
        """Refuse a preset that does not fit the rows, before the start takes its minutes."""

    @abstractmethod
    def start_flow(
        self, name: str, prepared: Preparation, groups: Floats | None, generator: torch.Generator
    ) -> FlowInit:
        """Build a flow that starts from the training rows.

        Parameters
        ----------
        name : str
            Of a preset; "auto" chooses one.
        prepared : Preparation
            The rows.
        groups : ndarray of shape (n, K) or None
            How much of each row belongs to each group within which an affine start whitens; None
            starts as the identity.
        generator : torch.Generator
            Source of initial weights; its seed is that of all other randomness.

        Raises
        ------
        ValueError
            If there is no such preset, or it does not fit the rows.
        """

    @abstractmethod
    def blank_flow(self, name: str, dim: int) -> Chain:
        """Build a flow whose weights a file then fills."""

    def n_class_features(self, start: FlowInit) -> int:
        """Return how many of the first latents are to know the class: one each, but not too few."""
        return min(start.dim, max(start.n_classes, LEAST_CLASS_FEATURES))

    def n_gaussian_features(self, start: FlowInit) -> int:
        """Return in how many of the first latents Gaussians of classes differ."""
        return start.dim

    def n_components(self, start: FlowInit, n_rows: int) -> int:
        """Return how many Gaussians a class has where ``n_rows`` rows train a flow."""
        return 1

    def class_weight(self, estimator: FlowClassifier, dim: int) -> float:
        """Return what the cross-entropy of a row weighs beside its likelihood."""
        weight = estimator.cross_entropy_weight
        return dim * (self.cross_entropy_weight if isinstance(weight, str) else weight)

    @abstractmethod
    def objective(
        self, estimator: FlowClassifier, model: JointModel, prepared: Preparation, noise: float
    ) -> Objective:
        """Return what the estimator's training of a model on rows with noise minimizes."""
