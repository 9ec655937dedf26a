"""From a spec and soft labels to an untrained model: whitening, rotation, class means."""

from __future__ import annotations

import numpy as np
import torch

from flowssl._typing import Floats
from flowssl.densities import ClassInit, ClassPrior
from flowssl.estimators._domain import Domain, FlowInit
from flowssl.estimators._preparation import Preparation
from flowssl.estimators._spec import ModelRequest, ModelSpec
from flowssl.initialization.means import component_means, latent_means, random_means
from flowssl.models import JointModel


def initialize_model(
    spec: ModelSpec,
    request: ModelRequest,
    domain: Domain,
    prepared: Preparation,
    prior: ClassPrior,
    seed: int,
) -> JointModel:
    """Build the untrained model.

    With ``init="propagate"`` the flow begins as the affine map that whitens within the classes, and
    the class density at the latents' weighted means; otherwise at the identity and the papers'
    own means.

    Parameters
    ----------
    spec : ModelSpec
        Which model.
    request : ModelRequest
        How it is initialized.
    domain : Domain
        The kind of rows.
    prepared : Preparation
        Training rows with soft labels.
    prior : ClassPrior
        The class probabilities.
    seed : int
        Of everything random.
    """
    generator = torch.Generator().manual_seed(seed)
    rng = np.random.default_rng(seed)
    propagated = request.init == "propagate"
    groups = None
    if propagated:
        targets = prepared.targets
        groups = targets if spec.density.whitens_classes else targets.sum(1, keepdims=True)
    found = domain.init_flow(spec.architecture, spec.span, prepared, groups, generator)
    rotation, latents = None, found.latents[:, : spec.width]
    if spec.rotates(domain):
        rotation = torch.eye(spec.width, dtype=torch.float64)
        if propagated:
            rotation = _class_directions(torch.from_numpy(latents), torch.from_numpy(found.mass))
            latents = latents @ rotation.numpy().T
    features = latents[:, : spec.class_features]
    means, weights = _class_means(spec, request, found, features, rng)
    init = ClassInit(
        torch.from_numpy(means),
        prior,
        None if weights is None else torch.from_numpy(weights),
        generator,
    )
    return spec.assemble(found.flow.cpu(), init, rotation)


def _class_means(
    spec: ModelSpec,
    request: ModelRequest,
    found: FlowInit,
    features: Floats,
    rng: np.random.Generator,
) -> tuple[Floats, Floats | None]:
    """Return the means (C, M, D) and, of propagated labels, the weights (C, M) within a class."""
    if request.init == "propagate":
        return component_means(features, found.mass, spec.options.n_components, rng)
    if request.init == "latent":
        return latent_means(features, found.codes, spec.n_classes)[:, None], None
    distance = request.random_distance if spec.n_classes == 2 else None
    return random_means(spec.n_classes, spec.class_features, rng, distance=distance)[:, None], None


def _class_directions(latents: torch.Tensor, mass: torch.Tensor) -> torch.Tensor:
    """Return a rotation (D, D) whose first rows span the class means, the widest apart first."""
    total = mass.sum(0)
    means = mass.T @ latents / total[:, None]
    center = (total / total.sum()) @ means
    spread = (means - center) * (total / total.sum()).sqrt()[:, None]
    vectors = torch.linalg.eigh(spread.T @ spread).eigenvectors
    rotation: torch.Tensor = vectors.flip(1).T
    return rotation
