"""The kind of rows that an estimator learns from: what differs between tables and images.

An estimator makes its `Domain` from its parameters and asks it for all that depends on the kind of
rows: encoding, soft labels, the flow and the width of its class features, the objective, and what
"auto" stands for. Helpers get settings, never the estimator.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch

from flowssl._model_file import Arrays
from flowssl._typing import Floats, Integers
from flowssl.bijections import Chain
from flowssl.bijections.images import Shape
from flowssl.estimators._preparation import Preparation
from flowssl.estimators._rows import Rows
from flowssl.estimators._settings import Automatic, ObjectiveSettings
from flowssl.estimators.options import ObjectiveOptions
from flowssl.initialization import SoftLabels, propagate
from flowssl.models import JointModel
from flowssl.objectives import (
    CrossEntropy,
    ExpectationMaximization,
    Likelihood,
    Objective,
    SoftLabelLikelihood,
    Term,
)
from flowssl.preprocessing import Completion, Pixels
from flowssl.preprocessing.encoders import Encoder
from flowssl.preprocessing.indicators import CategoryGroup

LEAST_CLASS_FEATURES = 8


@dataclass(frozen=True)
class FlowInit:
    """An untrained flow and where it maps some training rows, from which the classes start.

    Attributes
    ----------
    flow : Chain
        In the default dtype.
    latents : ndarray of shape (m, D)
        Latents of the rows.
    mass : ndarray of shape (m, C)
        How much of each row's weight belongs to each class.
    codes : ndarray of shape (m,), int64
        Class of each row, -1 for unlabeled.
    """

    flow: Chain
    latents: Floats
    mass: Floats
    codes: Integers


class Domain(ABC):
    """What depends on the kind of rows.

    Attributes
    ----------
    image_shape : tuple of int or None
        Channels, height and width of images.
    row_kind : str
        That of its encoders.
    max_held_out : int
        Rows held out at most.
    rotates_to_classes : bool
        Whether a linear map at the flow's end has to rotate the directions in which the classes
        differ to the first latents.
    refit_rows : int
        Unlabeled rows on whose latents the class densities are refitted at most.
    refit_fraction : float
        Fraction of the cross-entropy's weight that counts in the refit.
    """

    image_shape: Shape | None = None
    row_kind: ClassVar[str]
    max_held_out: ClassVar[int]
    rotates_to_classes: ClassVar[bool]
    refit_rows: ClassVar[int]
    refit_fraction: ClassVar[float]

    @abstractmethod
    def encoder(self) -> Encoder:
        """Return a new encoder of the user's rows."""

    @abstractmethod
    def read_encoder(self, text: str, arrays: Arrays) -> Encoder:
        """Rebuild a fitted encoder from its JSON and, if it has any, its arrays."""

    @abstractmethod
    def completion(self, encoder: Encoder, matrix: Floats) -> Completion | Pixels:
        """Fit the step from encoded training rows (n, D) to a flow's units."""

    def continued(self, completion: Completion | Pixels) -> Completion | Pixels:
        """Return that step for a warm start."""
        return completion

    def is_changed(self, completion: Completion | Pixels) -> bool:
        """Return whether parameters were changed after that step was fitted."""
        return False

    @abstractmethod
    def read_completion(self, arrays: Arrays) -> Completion | Pixels:
        """Rebuild that step from its ``to_arrays``."""

    @abstractmethod
    def check_encoder(self, encoder: Encoder, completion: Completion | Pixels) -> None:
        """Refuse an encoder of a file that gives other columns than the flow takes.

        Raises
        ------
        ModelFileError
            If it does.
        """

    def check_objective(self, options: ObjectiveOptions) -> None:
        """Refuse options that differ from their defaults and cannot act on this kind of rows.

        Raises
        ------
        ValueError
            If there is one.
        """
        if options.kind != "em" and options.e_step_interval != 1:
            raise ValueError(
                f"e_step_interval={options.e_step_interval} acts only on objective 'em', not on "
                f"{options.kind!r}; leave it at 1"
            )

    def propagate(self, filled: Floats, rows: Rows, prior: Floats | None, seed: int) -> SoftLabels:
        """Return soft labels of all rows, given without missing values, from the labels of some."""
        return propagate(
            filled,
            rows.codes,
            rows.n_classes,
            class_prior=prior,
            sample_weight=rows.weight,
            random_state=seed,
        )

    @abstractmethod
    def automatic(self, n_rows: int, dim: int, *, is_wide: bool) -> Automatic:
        """Return what "auto" stands for in a training on ``n_rows`` rows of ``dim`` columns.

        ``is_wide`` says whether the flow acts in the span of the rows only.
        """

    @abstractmethod
    def choose_architecture(self, name: str, dim: int, n_rows: int) -> str:
        """Return the name of the flow's preset, of ``"auto"`` too.

        Raises
        ------
        ValueError
            If there is no such preset, or it does not fit the rows.
        """

    def span(self, n_rows: int, dim: int) -> int | None:
        """Return the width of the span in which a flow acts; None for all ``dim`` columns."""
        return None

    def categories(
        self, options: ObjectiveOptions, encoder: Encoder
    ) -> tuple[CategoryGroup, ...] | None:
        """Return the indicator columns of each categorical column of encoded rows.

        None where the classes give p(x), or the kind of rows knows nothing else.
        """
        return None

    @abstractmethod
    def init_flow(
        self,
        name: str,
        span: int | None,
        prepared: Preparation,
        groups: Floats | None,
        generator: torch.Generator,
    ) -> FlowInit:
        """Build a flow that is initialized from the training rows.

        Parameters
        ----------
        name : str
            Of a preset.
        span : int or None
            Width of the span of the rows, where the flow acts in it.
        prepared : Preparation
            The rows.
        groups : ndarray of shape (n, K) or None
            How much of each row belongs to each group within which an affine map whitens; None
            begins at the identity.
        generator : torch.Generator
            Source of initial weights; its seed is that of all other randomness.
        """

    @abstractmethod
    def blank_flow(self, name: str, dim: int, span: int | None) -> Chain:
        """Build a flow whose weights a file then fills."""

    def n_class_features(self, architecture: str, dim: int, n_classes: int) -> int:
        """Return how many of the first latents depend on the class: one per class, at least 8."""
        return min(dim, max(n_classes, LEAST_CLASS_FEATURES))

    def n_components(self, architecture: str, dim: int, n_rows: int) -> int:
        """Return how many Gaussians a class has where ``n_rows`` rows train a flow."""
        return 1

    @abstractmethod
    def objective(
        self, settings: ObjectiveSettings, model: JointModel, prepared: Preparation
    ) -> Objective:
        """Return what the training of a model minimizes."""


def likelihood_terms(
    settings: ObjectiveSettings, class_weight: float, *, of_view: bool = False
) -> list[Term]:
    """Return the likelihood and, unless it weighs nothing, the cross-entropy.

    Parameters
    ----------
    settings : ObjectiveSettings
        Which likelihood.
    class_weight : float
        Weight of the cross-entropy, in nats of likelihood.
    of_view : bool, default=False
        Whether the cross-entropy is that of a perturbed copy.
    """
    terms: list[Term] = []
    if settings.kind == "soft-labels":
        terms.append(SoftLabelLikelihood())
    elif settings.kind == "em":
        terms.append(ExpectationMaximization(refresh=settings.e_step_interval))
    else:
        terms.append(Likelihood())
    if class_weight:
        labeled_only = settings.kind != "soft-labels"
        terms.append(CrossEntropy(class_weight, labeled_only=labeled_only, of_view=of_view))
    return terms
