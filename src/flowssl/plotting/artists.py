"""Parts of figures: rows, class regions, densities, class densities and reliability diagrams."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

import numpy as np
import torch

from flowssl._class_codes import class_codes
from flowssl._fitted import is_planar, subsample
from flowssl._typing import Floats, Integers
from flowssl.calibration import expected_calibration_error, reliability
from flowssl.densities import ClassDensity, GaussianClasses
from flowssl.plotting.style import MAX_NAMES, MAX_POINTS, Theme, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from flowssl._labels import LabelsLike
    from flowssl.estimators.base import FlowClassifier
    from flowssl.preprocessing.containers import TableLike


GRID = 150
"""Points along each side of the grid on which densities are drawn."""

N_MOMENTS = 1_000
"""Samples from which the moments of a class density are estimated that have no closed form."""

CONTOUR_FRACTIONS = (0.99, 0.9, 0.5)
"""Fractions of the rows that the density contours enclose, the outermost first."""

SHADE = 0.35
"""Opacity of the class colors in the background."""


# From tables to points.


def rows_and_codes(
    estimator: FlowClassifier, X: TableLike, y: LabelsLike
) -> tuple[Floats, Integers]:
    """Return the encoded rows (n, D) and their classes (n,), -1 for unlabeled."""
    matrix: Floats = estimator.encoder_.transform(X)
    codes = class_codes(estimator, y)
    if len(codes) != len(matrix):
        raise ValueError(f"X has {len(matrix)} rows but y has {len(codes)}")
    return matrix, codes


def planar_rows(
    estimator: FlowClassifier, X: TableLike, y: LabelsLike, name: str
) -> tuple[Floats, Integers]:
    """Return :func:`rows_and_codes` of two-dimensional data, missing values imputed."""
    check_planar(estimator, name)
    matrix, codes = rows_and_codes(estimator, X, y)
    return estimator.completion_.features(matrix), codes


def check_planar(estimator: FlowClassifier, name: str) -> None:
    """Raise ValueError unless the data can be drawn in two dimensions."""
    if not is_planar(estimator):
        n_columns = len(estimator.encoder_.output_columns_)
        raise ValueError(
            f"{name} needs data of two numeric columns, but the encoded rows have {n_columns} "
            "columns; plot_latent_space draws any number of columns"
        )


def thinned(matrix: Floats, codes: Integers, limit: int = MAX_POINTS) -> tuple[Floats, Integers]:
    """Return at most `limit` labeled and as many unlabeled rows, chosen at random."""
    kept = np.concatenate(
        [subsample(np.flatnonzero(kind), limit) for kind in (codes >= 0, codes < 0)]
    )
    return matrix[kept], codes[kept]


def samples(
    estimator: FlowClassifier, n_samples: int, temperature: float, random_state: int
) -> tuple[Floats, Integers]:
    """Return encoded samples (n, D) and their classes (n,)."""
    table, labels = estimator.sample(n_samples, temperature=temperature, random_state=random_state)
    return estimator.encoder_.transform(table), np.searchsorted(estimator.classes_, labels)


def flat(points: Floats) -> Floats:
    """Give points of one dimension a random second coordinate; return others unchanged."""
    if points.shape[1] > 1:
        return points
    noise = np.random.default_rng(0).uniform(-1, 1, len(points))
    return np.column_stack((points, noise))


def projection(z: Floats, means: Floats) -> Floats:
    """Return two orthonormal directions (D, 2) in which the class means differ most.

    These are principal components of the means (C, D), completed by those of the latents (n, D)
    where the means span fewer than two dimensions. In one or two dimensions, the identity.
    """
    dim = z.shape[1]
    if dim <= 2:
        return np.eye(dim)
    _, sizes, axes = np.linalg.svd(means - means.mean(0), full_matrices=False)
    axes = axes[sizes > 1e-8 * max(float(sizes.max()), 1.0)][:2]
    if len(axes) < 2:
        rest = z - z.mean(0)
        rest = rest - rest @ axes.T @ axes
        axes = np.concatenate((axes, np.linalg.svd(rest, full_matrices=False)[2]))[:2]
    return np.asarray(axes.T)


# Artists.


def scatter_points(ax: Axes, points: Floats, color: str | list[str]) -> None:
    """Draw rows (n, 2) as dots, smaller where there are many."""
    ax.scatter(
        points[:, 0],
        points[:, 1],
        s=float(np.clip(9000 / max(len(points), 1), 3, 14)),
        c=color,
        alpha=0.6,
        linewidths=0,
        gid="points",
        rasterized=True,
    )


def scatter_rows(
    ax: Axes, points: Floats, codes: Integers, style: Theme, predicted: Integers | None = None
) -> None:
    """Draw unlabeled rows as dots, gray or in the color of the predicted class, labeled as triangles."""
    labeled = codes >= 0
    if (~labeled).any():
        color = style.muted if predicted is None else style.colors(predicted[~labeled])
        scatter_points(ax, points[~labeled], color)
    if labeled.any():
        ax.scatter(
            points[labeled, 0],
            points[labeled, 1],
            s=float(np.clip(12000 / labeled.sum(), 12, 60)),
            c=style.colors(codes[labeled]),
            marker="^",
            edgecolors=style.ink,
            linewidths=0.8,
            gid="labeled",
            zorder=3,
        )


def limit(ax: Axes, points: Floats, *, centers: Floats | None = None, equal: bool = False) -> None:
    """Set the axes' limits to the central 99.8 % of the points and a margin.

    With `centers`, all of these are within the limits too. With `equal`, the axes have the same
    scale and the plot is square.
    """
    low, high = np.quantile(points, (0.001, 0.999), axis=0)
    if centers is not None:
        low, high = np.minimum(low, centers.min(0)), np.maximum(high, centers.max(0))
    size = np.where(high > low, high - low, 1.0)
    if equal:
        size = np.full(2, size.max())
        ax.set_aspect("equal")
    middle, half = (low + high) / 2, 0.58 * size
    ax.set_xlim(middle[0] - half[0], middle[0] + half[0])
    ax.set_ylim(middle[1] - half[1], middle[1] + half[1])


def draw_plane(
    ax: Axes, estimator: FlowClassifier, matrix: Floats, codes: Integers, style: Theme
) -> None:
    """Draw class probabilities, decision boundary, density and rows of two-dimensional data."""
    limit(ax, matrix)
    few, shown = thinned(matrix, codes)
    horizontal, vertical = (np.linspace(*ends, GRID) for ends in (ax.get_xlim(), ax.get_ylim()))
    grid = np.stack(np.meshgrid(horizontal, vertical), axis=-1).reshape(-1, 2)
    log_density, log_proba = estimator.density_.evaluate(grid)
    _shade(ax, np.exp(log_proba).reshape(GRID, GRID, -1), style)
    n_classes = log_proba.shape[1]
    for code in range(n_classes if n_classes > 1 else 0):
        lead = log_proba[:, code] - np.delete(log_proba, code, axis=1).max(1)
        _contour(ax, horizontal, vertical, lead, [0.0], style.ink, 1.4)
    of_rows = estimator.density_.evaluate(few)[0]
    levels = np.quantile(of_rows, [1 - fraction for fraction in CONTOUR_FRACTIONS])
    _contour(ax, horizontal, vertical, log_density, np.unique(levels).tolist(), style.muted, 0.7)
    scatter_rows(ax, few, shown, style)


def _shade(ax: Axes, proba: Floats, style: Theme) -> None:
    """Shade the background in the class colors, mixed by probabilities (rows, columns, C)."""
    from matplotlib.colors import to_rgb

    palette = np.array([to_rgb(style.color(code)) for code in range(proba.shape[2])])
    mixed = SHADE * (proba @ palette) + (1 - SHADE) * np.array(to_rgb(style.background))
    ax.imshow(
        mixed.clip(0, 1),
        extent=(*ax.get_xlim(), *ax.get_ylim()),
        origin="lower",
        aspect="auto",
        interpolation="bilinear",
    )


def _contour(
    ax: Axes,
    horizontal: Floats,
    vertical: Floats,
    heights: Floats,
    levels: list[float],
    color: str,
    width: float,
) -> None:
    """Draw the contour lines at those levels that occur on the grid."""
    inside = [level for level in levels if heights.min() < level < heights.max()]
    if inside:
        surface = heights.reshape(len(vertical), len(horizontal))
        ax.contour(horizontal, vertical, surface, levels=inside, colors=color, linewidths=width)


def draw_class_densities(ax: Axes, estimator: FlowClassifier, axes: Floats, style: Theme) -> None:
    """Draw ellipses of one standard deviation, and the names of the classes.

    `axes` (D, 2) are the directions that are drawn, on which the Gaussians are projected. A class
    density that is not Gaussian gets the ellipse of its first two moments. Of several components,
    the one nearest to the class center carries the name, as the center itself may lie in another
    class.
    """
    from matplotlib.patches import Ellipse
    from matplotlib.patheffects import withStroke

    # A copy on the CPU: the model itself stays on its device.
    density = deepcopy(estimator.models_[0].class_density).cpu()
    if isinstance(density, GaussianClasses):
        rings = _gaussian_rings(density, axes)
    else:
        rings = _sampled_rings(density, axes)
    for code, center, covariance in rings:
        values, vectors = np.linalg.eigh(covariance)
        angle = float(np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1])))
        ax.add_patch(
            Ellipse(
                (float(center[0]), float(center[1])),
                *(2 * np.sqrt(values[::-1].clip(0))).tolist(),
                angle=angle,
                facecolor="none",
                edgecolor=style.color(code),
                linewidth=1.6,
                gid="ring",
                zorder=4,
            )
        )
    if len(estimator.classes_) > MAX_NAMES:
        return
    halo = [withStroke(linewidth=3, foreground=style.background)]
    means = in_plane(estimator.density_.class_centers() @ axes)
    for code, label in enumerate(estimator.classes_.tolist()):
        centers = np.stack([center for of_code, center, _ in rings if of_code == code])
        nearest = ((centers - means[code]) ** 2).sum(axis=1).argmin()
        ax.annotate(
            plain(label),
            centers[nearest].tolist(),
            ha="center",
            va="center",
            weight="bold",
            path_effects=halo,
            zorder=5,
            annotation_clip=True,
        )


Ring = tuple[int, Floats, Floats]
"""Class, projected mean (2,) and projected covariance (2, 2)."""


def _sampled_rings(density: ClassDensity, axes: Floats) -> list[Ring]:
    """Return the moments of each class, estimated from samples."""
    rings = []
    generator = torch.Generator().manual_seed(0)
    for code in range(density.n_classes):
        with torch.no_grad():
            z = density.sample(torch.full((N_MOMENTS,), code), generator=generator).double().numpy()
        projected = in_plane(z @ axes)
        covariance = np.cov(projected.T)
        if axes.shape[1] < 2:
            covariance[1, 1] = 0.25
        rings.append((code, projected.mean(axis=0), covariance))
    return rings


def _gaussian_rings(density: GaussianClasses, axes: Floats) -> list[Ring]:
    """Return the moments of each Gaussian component."""
    directions = torch.from_numpy(axes)
    rings = []
    with torch.no_grad():
        covariance = density.covariance
        identity = torch.eye(density.dim, dtype=torch.float64)
        for j in range(density.n_classes * density.n_components):
            # Coloring is linear, so the colored identity is the transposed root of the covariance.
            component = torch.full((density.dim,), j)
            root = covariance.color(identity, component).double() @ directions
            center = density.means.flatten(0, 1)[j].double() @ directions
            projected = (root.T @ root).numpy()
            if len(projected) < 2:
                projected = np.diag([projected[0, 0], 0.25])
            rings.append((j // density.n_components, in_plane(center.numpy()), projected))
    return rings


def in_plane(points: Floats) -> Floats:
    """Give means of one dimension the second coordinate 0; return others unchanged."""
    if points.shape[-1] > 1:
        return points
    return np.concatenate((points, np.zeros_like(points)), axis=-1)


def draw_reliability(
    curve: Axes, bars: Axes, proba: Floats, codes: Integers, n_bins: int, style: Theme
) -> None:
    """Draw accuracy against confidence, and the fraction of the rows in each bin."""
    confidence, accuracy, fraction = reliability(proba, codes, n_bins)
    filled = fraction > 0
    observed = accuracy[filled]
    low, high = _wilson(observed, fraction[filled] * len(codes))
    error_of_calibration = expected_calibration_error(proba, codes, n_bins)
    curve.plot([0, 1], [0, 1], color=style.muted, linestyle="--", linewidth=1)
    curve.vlines(confidence[filled], low, high, color=style.color(0), linewidth=1.2)
    # The area of a marker is the fraction of the rows, down to a size that can still be seen.
    curve.scatter(
        confidence[filled],
        observed,
        s=(300 * fraction[filled]).clip(12),
        color=style.color(0),
        linewidths=0,
        gid="bins",
        zorder=3,
        clip_on=False,
    )
    curve.set(xlim=(0, 1), ylim=(-0.02, 1.02), ylabel="accuracy")
    curve.grid(True)
    curve.set_title(f"n = {len(codes):,}, expected calibration error {error_of_calibration:.3f}")
    edges = np.linspace(0, 1, n_bins + 1)
    bars.bar(edges[:-1], fraction, width=1 / n_bins, align="edge", color=style.muted, linewidth=0)
    bars.set(xlabel="confidence (highest class probability)", ylabel="fraction")


def _wilson(rate: Floats, count: Floats) -> tuple[Floats, Floats]:
    """Return the 95 % confidence interval of a binomial rate (Wilson 1927), valid for few rows too."""
    z = 1.96
    center = (rate + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * np.sqrt(rate * (1 - rate) / count + (z / (2 * count)) ** 2)
    return center - half, center + half
