"""What a fitted classifier answers: classes, densities, latents, samples."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Mapping
from numbers import Integral
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin, TransformerMixin
from sklearn.utils import check_random_state, check_scalar
from sklearn.utils.validation import check_is_fitted

from flowssl._class_codes import class_codes
from flowssl._isolation import isolated
from flowssl._labels import LabelsLike, codes_of
from flowssl._model_file import ModelFileMixin
from flowssl._typing import Booleans, Floats, Labels
from flowssl.estimators._calibration import calibrated
from flowssl.estimators._density import FittedDensity
from flowssl.estimators._spec import ModelSpec
from flowssl.estimators._unusual import FittedRowDensity
from flowssl.inspection.clusters import RowClusters
from flowssl.inspection.outliers import OutlierScale
from flowssl.inspection.scores import OOD_SCORES, RowFigures
from flowssl.inspection.thresholds import OODThreshold
from flowssl.marginals import Marginal
from flowssl.model_selection import labeled_accuracy
from flowssl.models import JointModel
from flowssl.preprocessing import Completion, Pixels
from flowssl.preprocessing.containers import TableLike


class DensityClassifier(ClassifierMixin, TransformerMixin, ModelFileMixin, ABC):
    """Everything that follows from a fitted joint density ``p(x, y)`` of encoded rows."""

    unlabeled_value: object

    spec_: ModelSpec
    models_: list[JointModel]
    completion_: Completion | Pixels
    calibration_temperature_: float
    calibration_variance_: float
    outlier_scale_: OutlierScale
    marginal_: Marginal | None
    row_clusters_: RowClusters | None
    held_out_scores_: Mapping[str, Floats]
    ood_threshold_: OODThreshold | None
    history_: list[dict[str, float]]

    @isolated()
    def predict(self, X: TableLike) -> Labels:
        """Return the most probable class of each row, shape (n_samples,)."""
        best = self._class_scores(X).argmax(1)
        labels: Labels = self.classes_[best]
        return labels

    @isolated()
    def predict_log_proba(self, X: TableLike) -> Floats:
        """Return ``log p(y=k | x)``, shape (n_samples, n_classes), calibrated unless switched off.

        Columns follow ``classes_``. Bayes' rule on the joint density (Izmailov et al. 2020,
        eq. 5) with the log-odds divided by ``calibration_temperature_``, or with the covariances
        of the class Gaussians times ``calibration_variance_``; see :meth:`calibrate`.
        """
        return self.density_.log_proba(self._class_scores(X))

    @isolated()
    def predict_proba(self, X: TableLike) -> Floats:
        """Return ``p(y=k | x)``, shape (n_samples, n_classes); see :meth:`predict_log_proba`."""
        return np.exp(self.predict_log_proba(X))

    @isolated()
    def score(self, X: TableLike, y: LabelsLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the accuracy on the labeled rows; unlabeled rows are never counted as errors.

        Raises
        ------
        ValueError
            If no row is labeled.
        """
        return labeled_accuracy(
            y, self.predict(X), self.unlabeled_value, sample_weight, self.classes_
        )

    @isolated()
    def calibrate(
        self,
        X: TableLike,
        y: LabelsLike,
        *,
        method: Literal["temperature", "variance"] = "temperature",
    ) -> Self:
        """Fit the calibration of the class probabilities to validation labels.

        It has the lowest negative log-likelihood of the labels and replaces the one before, such as
        the temperature that ``fit`` finds without validation labels. Only the posterior changes:
        ``score_samples``, ``transform`` and ``sample`` answer as before. The joint density becomes
        ``p(x) p_v(y | x)``: p(x) of wider Gaussians would be fitted to labels instead of rows, and
        lower by hundreds of nats in hundreds of dimensions.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            Rows that were not labeled in ``fit``.
        y : array-like of shape (n_samples,)
            Their labels; unlabeled rows are left out. Some hundred labels suffice for one number.
        method : {"temperature", "variance"}, default="temperature"
            "temperature" divides the log-odds by a number, ``calibration_temperature_`` (Guo et
            al. 2017); predictions stay the same. "variance" multiplies the covariances of all class
            Gaussians by ``calibration_variance_`` (Izmailov et al. 2020, section 6.1). Both are the
            same where classes are equally probable single Gaussians of one covariance; otherwise
            "variance" can change predictions. It evaluates the rows some 20 times.

        Returns
        -------
        self
            The calibrated classifier.

        Raises
        ------
        ValueError
            If no row is labeled, a label is not one of ``classes_``, numbers of rows and labels
            differ, the method is unknown, or "variance" is asked for where classes are no Gaussians.

        Warns
        -----
        FlowSSLWarning
            If there are fewer than 50 labels, a class has none, or a bound of the range is best.

        Examples
        --------
        >>> from flowssl import FlowGMMClassifier
        >>> from flowssl.datasets import make_moons
        >>> X, y = make_moons(400, random_state=0)
        >>> model = FlowGMMClassifier(max_epochs=2, random_state=0).fit(X[:100], y[:100])
        >>> model.calibrate(X[100:], y[100:]).calibration_variance_
        1.0
        """
        density = self.density_
        matrix, codes = self.encoder_.transform(X), class_codes(self, y)
        found = calibrated(density, matrix, codes, self.classes_, method)
        self.calibration_temperature_, self.calibration_variance_ = found
        return self

    @isolated()
    def score_samples(self, X: TableLike) -> Floats:
        """Return ``log p(x)`` of each row in nats, per unit of the columns' own scales.

        Categories, values that many rows share and whole numbers count with their probability,
        other numbers with their density. Missing values and the cells of whole numbers are
        integrated out, see :meth:`score_samples_error`; constant and duplicate columns do not count.
        """
        return self._log_prob(X)[0]

    @isolated()
    def score_samples_error(self, X: TableLike) -> Floats:
        """Return the standard error of :meth:`score_samples`, nats, shape (n_samples,).

        Tables draw until it is at most 0.01, but no more than 2,048 times; 0 where nothing is drawn,
        NaN where p(x) is that of the class model, whose draws do not tell.
        """
        return self._log_prob(X)[1]

    @isolated()
    def ood_score(self, X: TableLike, *, method: str = "auto") -> Floats:
        """Return how unusual each row is, shape (n_samples,); higher is more unusual.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
            Rows. Of texts, it is their embeddings that are usual or not.
        method : str, default="auto"
            "unlikely": robust standard deviations by which log p(x) lies below that of usual rows.
            "atypical": the distance from it in either direction (Izmailov et al. 2020, appendix F).
            "clusters": minus the log-density of many small groups of training rows, nats per column,
            in tables of 12 columns or more. "ratio": log-density of one Gaussian of all training
            rows minus log p(x), nats; not for images. "distance": latent Mahalanobis distance to
            the nearest Gaussian of any class. "states": minus the log-density of statistics of
            images. "auto": "states" for images, "clusters" from 100 columns on, else "unlikely".

        Raises
        ------
        ValueError
            If these rows have no such score.
        """
        rows = self.row_density_
        score = OOD_SCORES[rows.resolve(method)]
        matrix = self.encoder_.transform(X)
        scores = score(RowFigures(rows, matrix, self.outlier_scale_))
        self._check_finite(matrix, scores[:, None])
        return scores

    def calibrate_ood(
        self, alpha: float = 0.05, X: TableLike | None = None, *, method: str = "auto"
    ) -> OODThreshold:
        """Choose and keep the score above which :meth:`is_unusual` calls a row unusual.

        Parameters
        ----------
        alpha : float, default=0.05
            Largest expected fraction of usual rows that are called unusual.
        X : table of shape (n_samples, n_features), optional
            Usual rows, not trained on. By default, the scores of the unlabeled rows that ``fit``
            held out are used; these stand for fresh rows if all rows came from one source.
        method : str, default="auto"
            A method of :meth:`ood_score`.

        Returns
        -------
        OODThreshold
            The threshold, which is kept as ``ood_threshold_`` and in model files, and its rate of
            false alarms with the spread of that.

        Raises
        ------
        ValueError
            If there are too few rows for ``alpha``, or ``fit`` held none out and X is None.
        """
        method = self.row_density_.resolve(method)
        if X is not None:
            scores = self.ood_score(X, method=method)
        elif method in self.held_out_scores_:
            scores = self.held_out_scores_[method]
        else:
            raise ValueError(
                "the model keeps no scores of held-out rows: fit had too few unlabeled rows, or an "
                "earlier version wrote the file. Give usual rows X that were not trained on"
            )
        self.ood_threshold_ = OODThreshold.fit(scores, alpha, method)
        return self.ood_threshold_

    def is_unusual(self, X: TableLike) -> Booleans:
        """Return which rows are above the threshold of :meth:`calibrate_ood`, shape (n_samples,).

        Raises
        ------
        ValueError
            If ``calibrate_ood`` was not called since the last fit.
        """
        check_is_fitted(self)
        threshold = self.ood_threshold_
        if threshold is None:
            raise ValueError("is_unusual needs a threshold; call calibrate_ood(alpha) first")
        return threshold.exceeded(self.ood_score(X, method=threshold.method))

    @isolated()
    def transform(self, X: TableLike) -> Floats:
        """Map rows to latents ``z = f(x)``, shape (n_samples, n_latents).

        Missing values are filled by typical ones first. Of several flows the first one is used.
        """
        density = self.density_
        matrix = self.encoder_.transform(X)
        latents = density.latents(matrix)
        self._check_finite(matrix, latents)
        return latents

    @isolated()
    def inverse_transform(self, Z: ArrayLike) -> TableLike:
        """Map latents back to rows of the kind of table that ``fit`` saw."""
        rows = self.density_.invert(np.array(Z, dtype=np.float64))
        table: TableLike = self.encoder_.inverse_transform(rows)
        return table

    @isolated()
    def sample(
        self,
        n_samples: int = 1,
        y: ArrayLike | object | None = None,
        temperature: float = 1.0,
        random_state: int | np.random.RandomState | None = None,
    ) -> tuple[TableLike, Labels]:
        """Draw rows from the model.

        Flows put a few percent of their mass where no row is: a row with a number farther outside
        its column's training range than half that range is resampled, up to 100 times.

        Parameters
        ----------
        n_samples : int, default=1
            How many; ignored when ``y`` is an array. Of rows with texts, each text is the kept
            training text whose embedding is nearest to the one drawn.
        y : label or array-like of shape (n_samples,), optional
            Class of all rows, or of each. By default classes are drawn from the prior.
        temperature : float, default=1.0
            Factor of the latent covariances, ``z ~ N(mu_k, T Sigma_k)``; other than 1, rows are of
            the class densities alone. It has nothing to do with ``calibration_temperature_``.
        random_state : int, RandomState or None, default=None
            Source of randomness.

        Returns
        -------
        X : table like that of ``fit``, of shape (n_samples, n_features)
            Rows.
        y : ndarray of shape (n_samples,)
            Their classes.

        Raises
        ------
        ValueError
            If a label is not one of ``classes_``, the temperature is negative, or no row is wanted.
        """
        check_is_fitted(self)
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        if not temperature >= 0:
            raise ValueError(f"temperature must not be negative, got {temperature}")
        random = check_random_state(random_state)
        generator = torch.Generator().manual_seed(int(random.randint(2**31 - 1)))
        if y is None:
            prior = torch.from_numpy(self.density_.class_prior())
            codes = torch.multinomial(prior, n_samples, replacement=True, generator=generator)
        else:
            codes = torch.from_numpy(codes_of(y, self.classes_, n_samples))
        rows = self.density_.sample(codes, temperature, generator)
        return self.encoder_.inverse_transform(rows), self.classes_[codes.numpy()]

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> NDArray[np.object_]:
        """Return the names of the latents: ``latent0``, ``latent1``, ..."""
        check_is_fitted(self)
        n_latents = len(self.encoder_.output_columns_)
        return np.asarray([f"latent{i}" for i in range(n_latents)], dtype=object)

    @property
    def density_(self) -> FittedDensity:
        """The density of encoded rows with which the classifier predicts."""
        check_is_fitted(self)
        return FittedDensity(
            self.models_,
            self.completion_,
            self.calibration_temperature_,
            self.marginal_,
            self.calibration_variance_,
        )

    @property
    def row_density_(self) -> FittedRowDensity:
        """What scores of unusual rows ask: ``density_`` and other densities beside it."""
        return FittedRowDensity(self.density_, self.row_clusters_)

    @property
    def n_iter_(self) -> int:
        """Number of epochs that the first model was trained for."""
        check_is_fitted(self)
        return len(self.history_)

    @property
    def class_prior_(self) -> Floats:
        """Class probabilities ``p(y=k)`` of the first model, shape (n_classes,)."""
        return self.density_.class_prior()

    @property
    def means_(self) -> Floats:
        """Means of the first model's class Gaussians in latent space, shape (C, M, F).

        C classes, M Gaussians per class, F = ``class_features_`` latents. Other class densities
        have no such attribute.
        """
        return self.density_.gaussians()[0]

    @property
    def covariances_(self) -> Floats:
        """Covariances of the first model's class Gaussians, shape (C, M, F, F); see ``means_``."""
        return self.density_.gaussians()[1]

    @property
    def architecture_(self) -> str:
        """Name of the preset of the first model's flow."""
        check_is_fitted(self)
        return self.spec_.architecture

    @property
    def class_features_(self) -> int:
        """Number of the first latents that depend on the class; the others are N(0, I)."""
        check_is_fitted(self)
        return self.spec_.class_features

    def _log_prob(self, X: TableLike) -> tuple[Floats, Floats]:
        """Return ``log p(x)`` and its standard error, both (n,), nats."""
        density, matrix = self.density_, self.encoder_.transform(X)
        log_prob, error = density.log_prob(matrix)
        self._check_finite(matrix, log_prob[:, None])
        return log_prob, error

    def _log_joint(self, X: TableLike) -> Floats:
        """Return ``log p(x, y=k)``, shape (n, C), nats per unit of the user's scales."""
        return self._finite(X, self.density_.log_joint)

    def _class_scores(self, X: TableLike) -> Floats:
        """Return the calibrated log-joint, shape (n, C), from which the posterior follows."""
        return self._finite(X, self.density_.class_scores)

    def _finite(self, X: TableLike, answer: Callable[[Floats], Floats]) -> Floats:
        """Encode rows and return what a method of the density answers, if that is finite."""
        answers = answer(matrix := self.encoder_.transform(X))
        self._check_finite(matrix, answers)
        return answers

    def _check_finite(self, matrix: Floats, answers: Floats) -> None:
        """Refuse rows (n, D) to which the model has no finite answers (n, K).

        Raises
        ------
        ValueError
            If there is one; it names the row and the number that is farthest out in it.
        """
        lost = np.flatnonzero(~np.isfinite(answers).all(1))
        if not len(lost):
            return
        row = int(lost[0])
        distance = np.abs(self.completion_.typical(matrix[row : row + 1])[0])
        place = int(np.nan_to_num(distance, nan=np.inf).argmax())
        raise ValueError(
            f"{len(lost)} rows are too far from those of fit for a finite density; the first is "
            f"row {row}, in which column {self.encoder_.output_columns_[place].column!r} is "
            f"{matrix[row, place]:g}. Check its units, or leave such rows out"
        )
