"""Figures show what they state: rows are counted, boundaries and contours checked on the model."""

import io
import subprocess
import sys
from itertools import combinations

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex, to_rgb
from matplotlib.image import imread
from sklearn.calibration import calibration_curve

from flowssl import FlowGMMClassifier
from flowssl.datasets import hide_labels, make_moons
from flowssl.densities import COVARIANCES, ClassPrior, GaussianClasses
from flowssl.plotting import (
    plot_decision_boundary,
    plot_flow,
    plot_history,
    plot_latent_space,
    plot_reliability,
    plot_samples,
)
from flowssl.plotting.artists import _gaussian_rings, projection
from flowssl.plotting.style import MAX_POINTS, THEMES, plain


@pytest.fixture(scope="module")
def planar():
    X, truth = make_moons(160, random_state=0)
    y = hide_labels(truth, per_class=4, random_state=0)
    model = FlowGMMClassifier(
        architecture="affine", max_epochs=2, propagation_weight=1, random_state=0
    )
    return model.fit(X, y), X, y, truth


@pytest.fixture(scope="module")
def wide():
    rng = np.random.default_rng(0)
    names = np.array(["$a$_{", "<b>", "c" * 40])
    code = rng.integers(3, size=120)
    X = rng.normal(size=(120, 4)) + 3 * np.eye(3, 4)[code]
    y = names[code].astype(object)
    y[24:] = None
    model = FlowGMMClassifier(
        architecture="affine", max_epochs=1, propagation_weight=1, random_state=0
    )
    return model.fit(X, y), X, y


def marks(ax, gid):
    """Offsets of the scatter with a name, shape (n, 2)."""
    found = [c.get_offsets() for c in ax.collections if c.get_gid() == gid]
    return np.concatenate(found) if found else np.empty((0, 2))


def rendered(figure):
    """Pixels of the figure as a PNG file, shape (rows, columns, 4)."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=40)
    file.seek(0)
    return imread(file)


def contours(ax):
    return [c for c in ax.collections if type(c).__name__ == "QuadContourSet"]


def test_every_row_is_drawn_once_and_labeled_rows_are_triangles(planar):
    model, X, y, _ = planar
    ax = plot_decision_boundary(model, X, y).axes[0]
    np.testing.assert_allclose(marks(ax, "labeled"), X[y >= 0])
    np.testing.assert_allclose(marks(ax, "points"), X[y < 0])


def test_triangles_have_the_color_of_their_class(planar):
    model, X, y, _ = planar
    ax = plot_decision_boundary(model, X, y).axes[0]
    triangles = next(c for c in ax.collections if c.get_gid() == "labeled")
    colors = [to_hex(color) for color in triangles.get_facecolors()]
    expected = [THEMES["light"].classes[code].lower() for code in y[y >= 0]]
    assert colors == expected


def test_the_boundary_lies_where_the_classes_are_equally_probable(planar):
    model, X, y, _ = planar
    ax = plot_decision_boundary(model, X, y).axes[0]
    boundary = [c for c in contours(ax) if list(c.levels) == [0.0]]
    assert len(boundary) == 2  # once for each class
    points = np.concatenate([path.vertices for c in boundary for path in c.get_paths()])
    assert len(points) > 50
    np.testing.assert_allclose(model.predict_proba(points)[:, 0], 0.5, atol=0.02)


def test_density_contours_enclose_the_fractions_they_state(planar):
    model, X, y, _ = planar
    ax = plot_decision_boundary(model, X, y).axes[0]
    levels = contours(ax)[-1].levels
    inside = [(model.score_samples(X) >= level).mean() for level in levels]
    np.testing.assert_allclose(inside, [0.99, 0.9, 0.5], atol=1.5 / len(X))


def test_shading_has_the_predicted_class_color(planar):
    model, X, y, _ = planar
    ax = plot_decision_boundary(model, X, y).axes[0]
    image = ax.images[0]
    left, right, bottom, top = image.get_extent()
    rows, columns = image.get_array().shape[:2]
    horizontal, vertical = np.linspace(left, right, columns), np.linspace(bottom, top, rows)
    palette = np.array([to_rgb(color) for color in THEMES["light"].classes[:2]])
    for i, j in [(3, 3), (rows - 4, 3), (3, columns - 4), (rows - 4, columns - 4)]:
        pixel = image.get_array()[i, j]
        nearest = np.abs(palette - pixel).sum(1).argmin()
        assert nearest == model.predict([[horizontal[j], vertical[i]]])[0]


def test_a_large_table_is_thinned_and_the_figure_notes_it(planar):
    model, X, y, _ = planar
    X, y = np.tile(X, (40, 1)), np.tile(y, 40)
    figure = plot_latent_space(model, X, y)
    assert len(marks(figure.axes[0], "points")) == MAX_POINTS
    assert len(marks(figure.axes[0], "labeled")) == (y >= 0).sum()
    assert figure.get_suptitle() == f"3,000 of {(y < 0).sum():,} unlabeled drawn"


def test_the_latent_plane_shows_the_latents_of_planar_data(planar):
    model, X, y, _ = planar
    ax = plot_latent_space(model, X, y).axes[0]
    np.testing.assert_allclose(marks(ax, "points"), model.transform(X[y < 0]))


def test_latent_space_of_many_columns_with_names_that_look_like_formulas(wide):
    model, X, y = wide
    figure = plot_latent_space(model, X, y)
    assert rendered(figure).std() > 0
    ax = figure.axes[0]
    assert len(marks(ax, "labeled")) == 24
    assert len([p for p in ax.patches if p.get_gid() == "ring"]) == 3
    assert {text.get_text() for text in ax.texts} == {"$a$_{", "<b>", "c" * 23 + "…"}
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend[-2:] == ["labeled", "unlabeled"]


@pytest.mark.parametrize("kind", sorted(COVARIANCES))
def test_rings_are_the_projected_covariances(kind):
    generator = torch.Generator().manual_seed(0)
    density = GaussianClasses(
        torch.randn(2, 2, 5, generator=generator), ClassPrior(torch.ones(2)), covariance=kind
    ).double()
    with torch.no_grad():
        for parameter in density.covariance.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    axes = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 2)))[0]
    full = density.covariance.matrices().detach().numpy()
    for j, (code, center, covariance) in enumerate(_gaussian_rings(density, axes)):
        assert code == j // 2
        np.testing.assert_allclose(center, density.means.detach().numpy()[code, j % 2] @ axes)
        np.testing.assert_allclose(covariance, axes.T @ full[j] @ axes, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("n_classes", "dim"), [(1, 3), (2, 6), (3, 6), (5, 4), (4, 2), (2, 1)])
def test_projection_is_orthonormal_and_keeps_the_means_apart(n_classes, dim):
    rng = np.random.default_rng(0)
    means, z = rng.normal(size=(n_classes, dim)), rng.normal(size=(50, dim))
    axes = projection(z, means)
    np.testing.assert_allclose(axes.T @ axes, np.eye(min(dim, 2)), atol=1e-9)
    if n_classes <= 3 or dim <= 2:  # means in a plane lose no distance in it
        before = np.linalg.norm(means[:, None] - means, axis=2)
        after = np.linalg.norm((means @ axes)[:, None] - means @ axes, axis=2)
        np.testing.assert_allclose(after, before, atol=1e-9)


def test_reliability_agrees_with_scikit_learn(planar):
    model, X, _, truth = planar
    figure = plot_reliability(model, X, truth, n_bins=10)
    proba = model.predict_proba(X)
    right, confidence = calibration_curve(
        model.predict(X) == truth, proba.max(1), n_bins=10, strategy="uniform"
    )
    np.testing.assert_allclose(marks(figure.axes[0], "bins"), np.column_stack((confidence, right)))
    bars = [bar.get_height() for bar in figure.axes[1].patches]
    assert sum(bars) == pytest.approx(1)


def test_reliability_leaves_unlabeled_rows_out(planar):
    model, X, y, _ = planar
    title = plot_reliability(model, X, y).axes[0].get_title(loc="left")
    assert title.startswith("n = 8,")
    with pytest.raises(ValueError, match="needs labeled rows"):
        plot_reliability(model, X, np.full(len(X), -1))


def test_history_marks_the_best_epoch(planar):
    model = planar[0]
    figure = plot_history(model)
    assert len(figure.axes) == 2
    best = 1 + int(np.argmin([record["loss"] for record in model.history_]))
    for ax, key in zip(figure.axes, ("nats_per_dim", "cross_entropy"), strict=True):
        curve, mark = ax.lines
        assert list(curve.get_ydata()) == [record[key] for record in model.history_]
        assert list(mark.get_xdata()) == [best, best]


def test_samples_are_those_of_the_estimator(planar):
    model, X, _, _ = planar
    ax = plot_samples(model, 50, X=X, random_state=3).axes[0]
    np.testing.assert_allclose(marks(ax, "points"), model.sample(50, random_state=3)[0])
    assert ax.get_xlim()[0] < X[:, 0].min()
    assert ax.get_xlim()[1] > X[:, 0].max()


def test_the_flow_figure_has_data_latents_mixture_and_samples(planar):
    model, X, y, _ = planar
    figure = plot_flow(model, X, y, random_state=1)
    data, mapped, mixture, samples = figure.axes
    made = model.sample(len(X), random_state=1)[0]
    np.testing.assert_allclose(marks(data, "labeled"), X[y >= 0])
    np.testing.assert_allclose(marks(mapped, "labeled"), model.transform(X[y >= 0]))
    np.testing.assert_allclose(marks(mixture, "points"), model.transform(made))
    np.testing.assert_allclose(marks(samples, "points"), made)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_both_themes_have_their_background(planar, theme):
    figure = plot_history(planar[0], theme=theme)
    corner = rendered(figure)[0, 0, :3]
    assert to_hex(corner) == THEMES[theme].background.lower()


def test_what_cannot_be_drawn_is_refused(planar, wide):
    model, X, y, _ = planar
    many, rows, labels = wide
    with pytest.raises(ValueError, match="encoded rows have 4 columns"):
        plot_decision_boundary(many, rows, labels)
    with pytest.raises(ValueError, match="encoded rows have 4 columns"):
        plot_samples(many)
    with pytest.raises(ValueError, match="theme must be one of"):
        plot_history(model, theme="blue")
    with pytest.raises(ValueError, match="label 7, which is not one of"):
        plot_latent_space(model, X, np.full(len(X), 7))
    with pytest.raises(ValueError, match="X has 160 rows but y has 3"):
        plot_flow(model, X, y[:3])


def test_names_become_one_printable_line():
    assert plain("a\nb\x00c\ud800") == "a b c"
    assert len(plain("x" * 100)) == 24


# Machado et al. 2009, severity 1; applied to linear RGB.
DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}


def lab(linear):
    """CIE L*a*b* of linear RGB."""
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    x, y, z = np.asarray(to_xyz) @ np.clip(linear, 0, 1) / (0.9505, 1, 1.089)
    f = [np.cbrt(v) if v > 0.008856 else 7.787 * v + 16 / 116 for v in (x, y, z)]
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("deficiency", sorted(DEFICIENCIES))
def test_class_colors_differ_for_color_blind_readers(theme, deficiency):
    colors = [np.array(to_rgb(color)) for color in THEMES[theme].classes]
    linear = [np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) for c in colors]
    seen = [lab(np.asarray(DEFICIENCIES[deficiency]) @ color) for color in linear]
    nearest = min(np.linalg.norm(a - b) for a, b in combinations(seen, 2))
    assert nearest > 10  # 2.3 is a just noticeable difference


def test_importing_the_plots_does_not_import_matplotlib():
    code = "import sys, flowssl.plotting; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
