"""What the classifiers with a class part from the registry share: how their models are built.

The flow begins as an affine map that follows from soft labels, and turns the directions in which
the classes differ to the front; the class part begins there (`flowssl.densities.ClassInit`).
"""

from __future__ import annotations

import os
from numbers import Integral
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.utils._param_validation import Interval, StrOptions

from flowssl._typing import Floats
from flowssl.bijections import Chain, LULinear
from flowssl.densities import (
    CLASS_DENSITIES,
    BuildableClassDensity,
    ClassDensityOptions,
    ClassInit,
    ClassPrior,
    SemiConditionalClasses,
)
from flowssl.estimators._building import class_prior, is_learned
from flowssl.estimators._domain import FlowInit
from flowssl.estimators._fitting import Preparation
from flowssl.estimators.base import FlowClassifier
from flowssl.models import JointModel


class ClassPartClassifier(FlowClassifier):
    """Base of the classifiers that join a flow and a class part on the first of its latents.

    A subclass names the class part, a key of ``flowssl.densities.CLASS_DENSITIES``. The parameters are
    described at `SemiConditionalFlowClassifier`.
    """

    class_density: str
    class_architecture_: str
    class_features_: int

    _shape: ClassVar[tuple[str, ...]] = (
        "architecture_",
        "class_architecture_",
        "class_features_",
    )

    _parameter_constraints: ClassVar[dict[str, list[object]]] = {
        **FlowClassifier._parameter_constraints,
        "class_features": [StrOptions({"auto", "all"}), Interval(Integral, 1, None, closed="left")],
        "init": [StrOptions({"propagate", "random"})],
    }

    def __init__(
        self,
        *,
        architecture: str = "auto",
        class_features: int | str = "auto",
        init: str = "propagate",
        objective: str = "soft-labels",
        class_prior: ArrayLike | str | None = None,
        propagation_weight: float | str = "auto",
        labeled_fraction: float | str | None = "auto",
        cross_entropy_weight: float | str = "auto",
        e_step_interval: int = 1,
        noise: float | str = "auto",
        max_epochs: int | str = "auto",
        batch_size: int | str = "auto",
        learning_rate: float = 2e-3,
        weight_decay: float = 1e-4,
        early_stopping: bool = True,
        calibrate: bool = True,
        n_estimators: int = 1,
        warm_start: bool = False,
        checkpoint: str | os.PathLike[str] | None = None,
        unlabeled_value: object = "auto",
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.architecture = architecture
        self.class_features = class_features
        self.init = init
        self.objective = objective
        self.class_prior = class_prior
        self.propagation_weight = propagation_weight
        self.labeled_fraction = labeled_fraction
        self.cross_entropy_weight = cross_entropy_weight
        self.e_step_interval = e_step_interval
        self.noise = noise
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.calibrate = calibrate
        self.n_estimators = n_estimators
        self.warm_start = warm_start
        self.checkpoint = checkpoint
        self.unlabeled_value = unlabeled_value
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def _build_model(self, prepared: Preparation, seed: int) -> JointModel:
        generator = torch.Generator().manual_seed(seed)
        groups = self._groups(prepared)
        start = self._domain.start_flow(self.architecture, prepared, groups, generator)
        self.architecture_ = start.architecture
        self.class_features_ = self._choose_features(start)
        self.class_architecture_ = self._choose_class_architecture(len(prepared.z))
        flow, dim = start.flow, start.dim
        latents, share = torch.from_numpy(start.latents), torch.from_numpy(start.share)
        if self.init == "random":
            # One random "row" of each class: the class means become N(0, I), as in the papers.
            latents = torch.randn(start.n_classes, dim, generator=generator, dtype=torch.float64)
            share = torch.eye(start.n_classes, dtype=torch.float64)
        if self._gathers(dim):
            turn = torch.eye(dim, dtype=torch.float64)
            if self.init == "propagate":
                turn = _class_directions(latents, share)
            flow, latents = Chain(*flow, LULinear(turn)), latents @ turn.T
        prior = class_prior(prepared, self.class_prior, self.classes_)
        return JointModel(flow, self._classes(latents, share, prior, generator))

    def _blank_model(self, dim: int, n_classes: int) -> JointModel:
        flow = self._domain.blank_flow(self.architecture_, dim)
        if self._gathers(dim):
            flow = Chain(*flow, LULinear(torch.eye(dim)))
        latents = torch.zeros(n_classes, dim, dtype=torch.float64)
        share = torch.eye(n_classes, dtype=torch.float64)
        generator = torch.Generator().manual_seed(0)
        prior = ClassPrior(torch.ones(n_classes), learn=is_learned(self.class_prior))
        return JointModel(flow, self._classes(latents, share, prior, generator))

    def _gathers(self, dim: int) -> bool:
        """Whether some latents are auxiliary and a linear map at the end chooses which."""
        return self._domain.gathers_classes and self.class_features_ < dim

    @property
    def _part(self) -> type[BuildableClassDensity]:
        return CLASS_DENSITIES[self.class_density]

    def _choose_features(self, start: FlowInit) -> int:
        if self.class_features == "auto":
            return self._domain.n_class_features(start)
        if isinstance(self.class_features, str):  # "all"
            return start.dim
        if self.class_features > start.dim:
            raise ValueError(
                f"class_features is {self.class_features}, but rows have only {start.dim} latents, "
                "one for each encoded column or pixel; lower it or leave it at 'auto'"
            )
        return int(self.class_features)

    def _choose_class_architecture(self, n_rows: int) -> str:
        """Return the preset that the class part gets; without couplings unless it asks for some."""
        return "affine"

    def _groups(self, prepared: Preparation) -> Floats | None:
        """Return the groups within which the flow begins as a whitening: the classes, or all."""
        if self.init == "random":
            return None
        classes = prepared.targets
        return classes if self._part.whitens_classes else classes.sum(1, keepdims=True)

    def _classes(
        self,
        latents: torch.Tensor,
        share: torch.Tensor,
        prior: ClassPrior,
        generator: torch.Generator,
    ) -> SemiConditionalClasses:
        latents_f = latents[:, : self.class_features_]
        means = share.T @ latents_f / share.sum(0)[:, None]
        init = ClassInit(means[:, None], prior, generator=generator)
        options = ClassDensityOptions("diag", architecture=self.class_architecture_)
        return SemiConditionalClasses(self._part.from_init(init, options), latents.shape[1])


def _class_directions(latents: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Return a rotation (D, D) whose first rows span the class means, the widest apart first."""
    mass = share.sum(0)
    means = share.T @ latents / mass[:, None]
    center = (mass / mass.sum()) @ means
    spread = (means - center) * (mass / mass.sum()).sqrt()[:, None]
    vectors = torch.linalg.eigh(spread.T @ spread).eigenvectors
    rotation: torch.Tensor = vectors.flip(1).T
    return rotation
