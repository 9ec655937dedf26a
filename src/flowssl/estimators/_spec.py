"""Which model: everything that decides the tensors of a model and what they mean.

An estimator's parameters make a `ModelRequest`; `ModelSpec.choose` resolves it for the rows at
hand. The spec builds models, is written to model files, and is compared by a warm start.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Self, TypeVar, cast

import torch
from torch import Tensor

from flowssl._persistence import JSON
from flowssl._records import Record, shown
from flowssl.architectures import ARCHITECTURES, ROWS_PER_COLUMN, choose_architecture
from flowssl.bijections import Bijection, Chain, Leading, LULinear
from flowssl.bijections.images import Shape
from flowssl.densities import (
    CLASS_DENSITIES,
    COVARIANCES,
    BuildableClassDensity,
    ClassDensity,
    ClassDensityOptions,
    ClassInit,
    ClassPrior,
    SemiConditionalClasses,
)
from flowssl.estimators._domain import Domain
from flowssl.exceptions import ModelFileError
from flowssl.image_architectures import IMAGE_ARCHITECTURES
from flowssl.models import JointModel

T = TypeVar("T")


@dataclass(frozen=True)
class ModelRequest:
    """What an estimator's parameters ask for; "auto" is resolved by `ModelSpec.choose`.

    Attributes
    ----------
    architecture : str
        Preset of the flow.
    class_density : str
        Key of ``flowssl.densities.CLASS_DENSITIES``.
    class_features : int, "auto" or "all"
        Width of the latents that depend on the class.
    class_architecture : str
        Preset of the classes' flow.
    covariance_type, covariance_rank, n_components
        Of class Gaussians.
    default_covariance : str
        What "auto" stands for.
    learn_gaussians, learn_prior : bool
        Whether training changes the class Gaussians and the class prior.
    init : {"propagate", "latent", "random"}
        Where the classes are initialized from.
    random_distance : float or None
        Distance of two random class means; None draws them from N(0, I).
    """

    architecture: str
    class_density: str
    class_features: int | str
    class_architecture: str
    covariance_type: str
    covariance_rank: int | str
    n_components: int | str
    default_covariance: str
    learn_gaussians: bool
    learn_prior: bool
    init: str
    random_distance: float | None = None

    def check(self) -> None:
        """Refuse parameters that do not act on the class density that is asked for.

        Raises
        ------
        ValueError
            If there is one, or no such class density.
        """
        density = CLASS_DENSITIES.get(self.class_density)
        if density is None:
            raise ValueError(
                f"class_density must be one of {sorted(CLASS_DENSITIES)}; got {self.class_density!r}"
            )
        options = {"class_architecture": "architecture", "covariance_type": "covariance_type"}
        for name, option in options.items():
            if option not in density.uses and getattr(self, name) != "auto":
                users = [key for key, other in CLASS_DENSITIES.items() if option in other.uses]
                raise ValueError(
                    f"{name}={getattr(self, name)!r} acts only with class_density="
                    f"{' or '.join(map(repr, users))}; leave it at 'auto'"
                )
        if self.covariance_rank != "auto" and _covariance_type(self) != "low_rank":
            raise ValueError(
                f"covariance_rank={self.covariance_rank} acts only with "
                "covariance_type='low_rank'; leave it at 'auto'"
            )
        if self.learn_prior and not density.has_prior:
            raise ValueError(
                f"class_prior='learned' needs a class density with a prior, which "
                f"{self.class_density!r} does not have; leave class_prior at None"
            )
        several = not isinstance(self.n_components, str) and self.n_components > 1
        if several and self.init != "propagate":
            raise ValueError(
                f"n_components={self.n_components} needs init='propagate': {self.init!r} "
                "places one Gaussian per class"
            )


@dataclass(frozen=True)
class ModelSpec:
    """Which model.

    Attributes
    ----------
    dim, n_classes : int
        Columns D of a flow's input, and classes C.
    image_shape : tuple of int or None
        Channels, height and width of images; None for tables.
    architecture : str
        Preset of the flow.
    class_density : str
        Key of ``flowssl.densities.CLASS_DENSITIES``.
    class_features : int
        Width of the first latents, which depend on the class; the others are N(0, I).
    options : ClassDensityOptions
        Options of the class density.
    learn_prior : bool
        Whether training changes the class prior.
    span : int or None
        Width of the span of the rows where they are fewer than the columns. The flow acts on the
        coordinates within it, and all other directions are N(0, I).
    """

    dim: int
    n_classes: int
    image_shape: Shape | None
    architecture: str
    class_density: str
    class_features: int
    options: ClassDensityOptions
    learn_prior: bool
    span: int | None = None

    @classmethod
    def choose(
        cls,
        request: ModelRequest,
        domain: Domain,
        shape: tuple[int, int, int],
        previous: ModelSpec | None = None,
    ) -> ModelSpec:
        """Resolve what was asked for.

        Parameters
        ----------
        request : ModelRequest
            The estimator's parameters.
        domain : Domain
            The kind of rows.
        shape : tuple of int
            Numbers of rows, columns and classes.
        previous : ModelSpec, optional
            That of the models to continue from; it decides what is "auto".

        Raises
        ------
        ValueError
            If a preset or number does not fit the rows, a parameter does not act on this class
            density, or the result differs from `previous`.
        """
        n_rows, dim, n_classes = shape
        request.check()
        if previous is not None:
            request = _continued(request, previous)
        architecture = domain.choose_architecture(request.architecture, dim, n_rows)
        span = domain.span(n_rows, dim) if previous is None else previous.span
        features = _class_features(request, domain, architecture, dim, n_classes, span)
        spec = cls(
            dim=dim,
            n_classes=n_classes,
            image_shape=domain.image_shape,
            architecture=architecture,
            class_density=request.class_density,
            class_features=features,
            options=ClassDensityOptions(
                architecture=_class_architecture(request, features, n_rows),
                covariance_type=_covariance_type(request),
                covariance_rank=_rank(request, features),
                n_components=_n_components(request, domain, architecture, dim, n_rows),
                learn=request.learn_gaussians,
            ),
            learn_prior=request.learn_prior,
            span=span if span is None or features <= span else None,
        )
        if previous is not None and spec != previous:
            raise ValueError(
                f"warm_start continues with the model of the first fit, but {spec.differs(previous)}"
                "; set the parameters to what it has, or fit anew with warm_start=False"
            )
        return spec

    @property
    def density(self) -> type[BuildableClassDensity]:
        """The class density."""
        return CLASS_DENSITIES[self.class_density]

    @property
    def width(self) -> int:
        """Latents that the flow mixes, and classes may depend on: those of the span, or all."""
        return self.dim if self.span is None else self.span

    def rotates(self, domain: Domain) -> bool:
        """Return whether a linear map at the flow's end rotates the classes to the first latents."""
        return domain.rotates_to_classes and self.class_features < self.width

    def assemble(self, flow: Chain, init: ClassInit, rotation: Tensor | None) -> JointModel:
        """Join a flow, the rotation of its ``width`` latents, if any, and a new class density."""
        if rotation is not None:
            last: Bijection = LULinear(rotation)
            flow = Chain(*flow, last if self.span is None else Leading(last, self.span, self.dim))
        density: ClassDensity = self.density.from_init(init, self.options)
        if self.class_features < self.dim:
            density = SemiConditionalClasses(density, self.dim)
        return JointModel(flow, density)

    def blank(self, domain: Domain) -> JointModel:
        """Build the model whose weights a file then fills; it has shapes and takes no memory."""
        with torch.device("meta"):
            return self._blank(domain)

    def _blank(self, domain: Domain) -> JointModel:
        means = torch.zeros(
            self.n_classes, self.options.n_components, self.class_features, dtype=torch.float64
        )
        prior = ClassPrior(torch.ones(self.n_classes, dtype=torch.float32), learn=self.learn_prior)
        init = ClassInit(means, prior, None, torch.Generator().manual_seed(0))
        rotation = torch.eye(self.width, dtype=torch.float32) if self.rotates(domain) else None
        flow = domain.blank_flow(self.architecture, self.dim, self.span)
        return self.assemble(flow, init, rotation)

    def differs(self, other: ModelSpec) -> str:
        """Say where another spec has other values."""
        ours, theirs = _flat(self), _flat(other)
        return ", ".join(
            f"{name} would be {value!r}, not {theirs[name]!r}"
            for name, value in ours.items()
            if value != theirs[name]
        )

    def to_json(self) -> dict[str, JSON]:
        """Return the spec as JSON."""
        record = asdict(self)
        if self.image_shape is not None:
            record["image_shape"] = list(self.image_shape)
        return cast("dict[str, JSON]", record)

    @classmethod
    def from_json(cls, record: Record) -> Self:
        """Rebuild a spec from its JSON.

        Raises
        ------
        ModelFileError
            If the record is not that of a spec.
        """
        options = record.record("options")
        dim = record.whole("dim", least=1)
        sides = None if record.get("image_shape") is None else tuple(record.sizes("image_shape"))
        if sides is not None and (len(sides) != 3 or math.prod(sides) != dim):
            raise ModelFileError(f"its images of shape {shown(sides)} do not have {dim} columns")
        rank = None
        if options.get("covariance_rank") is not None:
            rank = options.whole("covariance_rank", least=1)
        features, span = record.whole("class_features", least=1, most=dim), None
        if record.values.get("span") is not None:  # which files of earlier versions lack
            span = record.whole("span", least=features, most=dim - 1)
        return cls(
            dim=dim,
            n_classes=record.whole("n_classes", least=1),
            image_shape=sides,
            architecture=record.text(
                "architecture", ARCHITECTURES if sides is None else IMAGE_ARCHITECTURES
            ),
            class_density=record.text("class_density", CLASS_DENSITIES),
            class_features=features,
            options=ClassDensityOptions(
                architecture=options.optional_text("architecture", ARCHITECTURES),
                covariance_type=options.text("covariance_type", COVARIANCES),
                covariance_rank=rank,
                n_components=options.whole("n_components", least=1),
                learn=options.flag("learn"),
            ),
            learn_prior=record.flag("learn_prior"),
            span=span,
        )

    def largest(self) -> int:
        """Return the largest of the sizes that say how much memory the model takes."""
        rank = self.options.covariance_rank or 0
        sizes = self.dim, self.n_classes, self.class_features, self.options.n_components, rank
        return max(sizes)


def _flat(spec: ModelSpec) -> dict[str, object]:
    """Return the fields of a spec and its options by the names of the estimators' parameters."""
    flat = {**asdict(spec), **asdict(spec.options)}
    flat["class_architecture"] = spec.options.architecture
    flat["architecture"] = spec.architecture
    flat["learn_gaussians"], flat["class_prior"] = flat.pop("learn"), flat.pop("learn_prior")
    flat["class_prior"] = "learned" if spec.learn_prior else "not learned"
    flat["covariance_rank"] = spec.options.covariance_rank or "auto"
    del flat["options"]
    return flat


def _continued(request: ModelRequest, previous: ModelSpec) -> ModelRequest:
    """Put the previous choices in the place of "auto"."""

    def kept(value: T, before: T) -> T:
        return before if value == "auto" else value

    options = previous.options
    return replace(
        request,
        architecture=kept(request.architecture, previous.architecture),
        class_features=kept(request.class_features, previous.class_features),
        class_architecture=kept(request.class_architecture, options.architecture or "auto"),
        covariance_type=kept(request.covariance_type, options.covariance_type),
        covariance_rank=kept(request.covariance_rank, options.covariance_rank or "auto"),
        n_components=kept(request.n_components, options.n_components),
    )


def _class_features(
    request: ModelRequest,
    domain: Domain,
    architecture: str,
    dim: int,
    n_classes: int,
    span: int | None,
) -> int:
    """Return the number of latents that depend on the class."""
    width = dim if span is None else span
    if request.class_features == "auto":
        return domain.n_class_features(architecture, width, n_classes)
    if isinstance(request.class_features, str):  # "all"
        return width
    if request.class_features > dim:
        raise ValueError(
            f"class_features is {request.class_features}, but rows have only {dim} latents, "
            "one for each encoded column or pixel value; lower it or leave it at 'auto'"
        )
    return int(request.class_features)


def _class_architecture(request: ModelRequest, features: int, n_rows: int) -> str | None:
    if "architecture" not in CLASS_DENSITIES[request.class_density].uses:
        return None
    name = request.class_architecture
    if name == "auto":
        name = "affine" if n_rows < ROWS_PER_COLUMN * features else "small"
    return choose_architecture(name, features, n_rows)


def _covariance_type(request: ModelRequest) -> str:
    if "covariance_type" not in CLASS_DENSITIES[request.class_density].uses:
        return ClassDensityOptions.covariance_type
    automatic = request.covariance_type == "auto"
    return request.default_covariance if automatic else request.covariance_type


def _rank(request: ModelRequest, features: int) -> int | None:
    if isinstance(request.covariance_rank, str):
        return None
    if request.covariance_rank > features:
        raise ValueError(
            f"covariance_rank is {request.covariance_rank}, but the class Gaussians have only "
            f"{features} latents; lower it or leave it at 'auto'"
        )
    return int(request.covariance_rank)


def _n_components(
    request: ModelRequest, domain: Domain, architecture: str, dim: int, n_rows: int
) -> int:
    if not isinstance(request.n_components, str):
        return int(request.n_components)
    if request.init != "propagate":
        return 1
    return domain.n_components(architecture, dim, n_rows)
