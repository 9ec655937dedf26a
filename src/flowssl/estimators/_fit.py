"""One fit: from canonical rows to trained and calibrated models."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.special import logsumexp

from flowssl._files import locked, probe
from flowssl._isolation import BLAS
from flowssl._typing import Floats
from flowssl.calibration import fit_temperature
from flowssl.densities import ClassPrior
from flowssl.estimators._density import FittedDensity
from flowssl.estimators._domain import Domain
from flowssl.estimators._initialization import initialize_model
from flowssl.estimators._preparation import Preparation, prepare, training_rows
from flowssl.estimators._refit import refit_class_density
from flowssl.estimators._rows import Rows
from flowssl.estimators._settings import ObjectiveSettings, TrainingSettings
from flowssl.estimators._soft_labels import class_prior, initialize_labels
from flowssl.estimators._spec import ModelRequest, ModelSpec
from flowssl.estimators._state import FittedState
from flowssl.estimators._unusual import fit_clusters, held_out_scores
from flowssl.estimators.options import ObjectiveOptions
from flowssl.exceptions import TrainingDivergedError
from flowssl.inspection.outliers import OutlierScale
from flowssl.marginals import Marginal
from flowssl.marginals.fitting import MAX_EXPERTS, MarginalSettings, fit_marginal
from flowssl.models import JointModel
from flowssl.preprocessing import Completion, Pixels
from flowssl.preprocessing.indicators import CategoryGroup
from flowssl.training import train
from flowssl.training.checkpoints import check_checkpoints
from flowssl.training.devices import is_first_process, prediction_device


@dataclass(frozen=True)
class FitSettings:
    """What an estimator's parameters say about a fit.

    Attributes
    ----------
    model : ModelRequest
        Which model.
    objective : ObjectiveOptions
        What is maximized.
    training : TrainingSettings
        How it is trained.
    class_prior : ndarray of shape (C,) or None
        Known class fractions among all rows.
    propagation_weight : float or "auto"
        Weight of the propagated soft labels.
    n_estimators : int
        Number of models whose densities are averaged.
    calibrate : bool
        Whether class probabilities get a temperature.
    checkpoint : Path or None
        File for the training's state.
    show_progress : bool
        Whether to show a progress bar.
    categories : tuple of CategoryGroup or None
        The indicator columns of each categorical column, of tables whose p(x) has a density of its
        own; None for those whose classes give it.
    """

    model: ModelRequest
    objective: ObjectiveOptions
    training: TrainingSettings
    class_prior: Floats | None
    propagation_weight: float | str
    n_estimators: int
    calibrate: bool
    checkpoint: Path | None
    show_progress: bool
    categories: tuple[CategoryGroup, ...] | None = None

    def checkpoint_of(self, member: int) -> Path | None:
        """Return the checkpoint of one of the models."""
        if self.checkpoint is None or member == 0:
            return self.checkpoint
        return self.checkpoint.with_name(f"{self.checkpoint.name}.{member}")

    @property
    def checkpoints(self) -> list[Path]:
        """The checkpoints of all models, in the order in which they are trained."""
        paths = map(self.checkpoint_of, range(self.n_estimators))
        return [*(path for path in paths if path is not None), *self.marginal_checkpoints]

    @property
    def marginal_checkpoints(self) -> tuple[Path, ...]:
        """The checkpoints of the experts of p(x)."""
        if self.checkpoint is None or self.categories is None:
            return ()
        name = self.checkpoint.name
        return tuple(self.checkpoint.with_name(f"{name}.x{i}") for i in range(MAX_EXPERTS))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other fits from the same checkpoints, after a look at what they hold.

        Raises
        ------
        ModelFileError
            If one is another kind of file, or is left over from another fit.
        DataError
            If another fit is writing them.
        OSError
            If they cannot be written.
        """
        if self.checkpoint is None or not is_first_process():
            yield
            return
        for path in self.checkpoints:
            probe(path)
        with locked(self.checkpoint):
            check_checkpoints(self.checkpoints)
            try:
                yield
            except TrainingDivergedError:  # would come again; other parameters need a new start
                for path in reversed(self.checkpoints):
                    path.unlink(missing_ok=True)
                raise


@dataclass(frozen=True)
class Previous:
    """Models that a warm start continues from."""

    spec: ModelSpec
    models: list[JointModel]
    marginal: Marginal | None


def fit_models(
    settings: FitSettings,
    domain: Domain,
    completion: Completion | Pixels,
    rows: Rows,
    seed: int,
    previous: Previous | None,
) -> tuple[FittedState, Floats]:
    """Initialize soft labels, train the models one after another, and calibrate their average.

    Ctrl-C ends the training early: the models so far are kept, each with the weights of its best
    epoch.

    Returns
    -------
    state : FittedState
        What was found.
    soft_labels : ndarray of shape (n, C)
        The targets of the rows; one-hot for labeled ones.
    """
    shape = len(rows.matrix), completion.dim, rows.n_classes
    before = None if previous is None else previous.spec
    spec = ModelSpec.choose(settings.model, domain, shape, before)
    with BLAS:
        labels = initialize_labels(
            domain,
            completion.features(rows.matrix),
            rows,
            settings.class_prior,
            settings.propagation_weight,
            seed,
        )
        max_held_out = domain.max_held_out if settings.training.early_stopping else 0
        prepared = prepare(completion, rows, labels.posteriors, max_held_out, seed)
    trainer = _Trainer(settings, domain, completion, prepared)
    known = [] if previous is None else previous.models
    models, history, interrupted = trainer.train_all(spec, known, seed)
    marginal, stopped = _marginal(
        settings, completion, prepared, seed, previous, is_short=interrupted
    )
    density = FittedDensity(models, completion, marginal=marginal)
    with BLAS:
        temperature, scale = _calibrated(density, prepared, calibrate=settings.calibrate)
        clusters, of_clusters = fit_clusters(completion, prepared, seed)
        of_density = held_out_scores(density, prepared, scale)
    state = FittedState(
        spec=spec,
        models=models,
        completion=completion,
        baseline=labels.baseline,
        initialization=labels.summary,
        used_unlabeled=labels.used_unlabeled,
        history=history,
        interrupted=interrupted or stopped,
        training_noise=trainer.objective.training_noise,
        calibration_temperature=temperature,
        outlier_scale=scale,
        marginal=marginal,
        row_clusters=clusters,
        held_out_scores=of_density | of_clusters,
    )
    return state, prepared.targets


def _marginal(
    settings: FitSettings,
    completion: Completion | Pixels,
    prepared: Preparation,
    seed: int,
    previous: Previous | None,
    *,
    is_short: bool,
) -> tuple[Marginal | None, bool]:
    """Fit p(x) where it has a density of its own; returns it and whether Ctrl-C came."""
    if settings.categories is None or isinstance(completion, Pixels):
        return None, False
    epochs = settings.training.max_epochs
    how = MarginalSettings(
        settings.training.device,
        seed,
        settings.marginal_checkpoints,
        max_epochs=None if isinstance(epochs, str) else epochs,
        show_progress=settings.show_progress,
        is_short=is_short,
    )
    rows, known = prepared.rows, None if previous is None else previous.marginal
    with BLAS:
        marginal, interrupted = fit_marginal(
            rows.matrix,
            rows.weight,
            prepared.held_out,
            completion,
            settings.categories,
            how,
            known,
        )
    if marginal is not None:
        marginal.to(prediction_device(settings.training.device))
    return marginal, interrupted


class _Trainer:
    """Builds and trains models on the same prepared rows."""

    def __init__(
        self,
        settings: FitSettings,
        domain: Domain,
        completion: Completion | Pixels,
        prepared: Preparation,
    ) -> None:
        self.settings = settings
        self.domain = domain
        self.completion = completion
        self.prepared = prepared
        self.dim = prepared.z.shape[1]
        self.is_wide = domain.span(len(prepared.z), self.dim) is not None
        self.automatic = domain.automatic(prepared.n_trained, self.dim, is_wide=self.is_wide)
        self.objective = ObjectiveSettings.resolve(settings.objective, self.automatic)
        self.device = prediction_device(settings.training.device)

    def train_all(
        self, spec: ModelSpec, known: list[JointModel], seed: int
    ) -> tuple[list[JointModel], list[dict[str, float]], bool]:
        """Train the known models further, and new ones up to the number that is asked for.

        Returns
        -------
        models : list of JointModel
            Those that were trained before Ctrl-C, if it came, and all known ones.
        history : list of dict
            Figures of each epoch of the first model.
        interrupted : bool
            Whether Ctrl-C came.
        """
        n_models = self.settings.n_estimators
        models = known[:n_models]
        while len(models) < n_models:
            models.append(self._build(spec, seed + len(models)))
        history: list[dict[str, float]] = []
        for member in range(n_models):
            if member < len(known):  # a failing training must not change the fitted model
                models[member] = copy.deepcopy(models[member])
                if self.settings.class_prior is not None:
                    _set_prior(models[member], self.settings.class_prior)
            figures, interrupted = self._train_in_single(models[member], member, seed + member)
            history = history or figures
            if interrupted:
                models = models[: max(member + 1, len(known))]
                break
        for model in models:  # one that was not trained further may be elsewhere
            model.to(self.device)
        return models, history, interrupted

    def _build(self, spec: ModelSpec, seed: int) -> JointModel:
        request = self.settings.model
        prior = class_prior(self.prepared, self.settings.class_prior, learn=request.learn_prior)
        with BLAS:
            return initialize_model(spec, request, self.domain, self.prepared, prior, seed)

    def _train_in_single(
        self, model: JointModel, member: int, seed: int
    ) -> tuple[list[dict[str, float]], bool]:
        """Train a model in place, in single precision; it ends in double precision."""
        try:
            return self._train(model.float(), member, seed)
        finally:
            model.to(self.device).double()

    def _train(
        self, model: JointModel, member: int, seed: int
    ) -> tuple[list[dict[str, float]], bool]:
        """Return the figures of each epoch, and whether Ctrl-C ended the training."""
        prepared, settings = self.prepared, self.settings
        with BLAS:
            rows, held_out = training_rows(self.completion, prepared, seed)
            objective = self.domain.objective(self.objective, model, prepared)
        config = settings.training.config(
            self.automatic, self.objective.labeled_fraction, prepared.n_trained, seed
        )
        result = train(
            model,
            objective,
            rows,
            held_out,
            config,
            checkpoint=settings.checkpoint_of(member),
            show_progress=settings.show_progress,
        )
        if self.is_wide:  # the classes begin where the latents are, and these have hardly moved
            return result.history, result.interrupted
        weight = self.domain.refit_fraction * self.dim * self.objective.cross_entropy_weight
        stopped = refit_class_density(
            model, prepared, self.domain.refit_rows, objective.noise, weight, config
        )
        return result.history, result.interrupted or stopped


def _set_prior(model: JointModel, prior: Floats) -> None:
    """Give a trained model the class probabilities (C,) that a further fit was given."""
    for module in model.modules():
        if isinstance(module, ClassPrior):
            with torch.no_grad():
                module.logits.copy_(torch.from_numpy(prior).log())


def _calibrated(
    density: FittedDensity, prepared: Preparation, *, calibrate: bool
) -> tuple[float, OutlierScale]:
    """Return the temperature and the scale of usual log-densities, from held-out rows if possible."""
    evaluated = prepared.held_out if prepared.held_out.any() else ~prepared.rows.labeled
    if not evaluated.any():
        evaluated = prepared.rows.labeled
    matrix = prepared.rows.matrix[evaluated]
    log_joint = density.class_log_joint(matrix)
    log_prob = logsumexp(log_joint, axis=1)
    if density.marginal is not None:
        log_prob, _ = density.marginal.log_prob(matrix)
    scale = OutlierScale.fit(log_prob)
    if not calibrate or np.any(prepared.rows.labeled[evaluated]):
        return 1.0, scale
    weight = prepared.rows.weight[evaluated]
    return fit_temperature(log_joint, prepared.targets[evaluated], weight), scale
