"""The start against closed forms, scikit-learn and data whose classes are known."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.special import softmax
from scipy.stats import beta, multivariate_normal
from sklearn.covariance import OAS
from sklearn.datasets import load_digits, load_wine, make_moons
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from sklearn.semi_supervised import LabelSpreading

from flowssl.datasets import make_eight_gaussians
from flowssl.initialization import (
    fit_whitening,
    latent_means,
    match_prior,
    propagate,
    random_means,
)
from flowssl.initialization.candidates import Labels, diffuse, linear_posteriors, one_hot
from flowssl.initialization.pooling import (
    blind_pool,
    doubted,
    fit_pool,
    label_log_likelihood,
    neighbor_cut,
    shift_prior,
    temper,
)
from flowssl.initialization.propagation import INVERSE_PENALTIES, smooth
from flowssl.initialization.spaces import (
    nearest_neighbors,
    neighbor_graph,
    oas_shrinkage,
    prepare_spaces,
)


def hide(y: np.ndarray, per_class: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    codes = np.full(len(y), -1)
    for k in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == k))[:per_class]
        codes[rows] = k
    return codes


@pytest.fixture(scope="module")
def wine() -> tuple[np.ndarray, np.ndarray]:
    return load_wine(return_X_y=True)


class TestAffineStart:
    def test_pooled_covariance_of_whitened_rows_is_the_identity(self, wine):
        X, y = wine
        start = fit_whitening(X, np.eye(3)[y], shrinkage=0.0)
        Z = (X - start.mean) @ start.whitening.T
        residual = Z - np.stack([Z[y == k].mean(axis=0) for k in range(3)])[y]
        np.testing.assert_allclose(residual.T @ residual / len(X), np.eye(13), atol=1e-8)
        np.testing.assert_allclose(start.class_means[1], Z[y == 1].mean(axis=0), atol=1e-8)
        np.testing.assert_allclose(start.unwhitening @ start.whitening, np.eye(13), atol=1e-8)
        assert start.log_det == pytest.approx(np.linalg.slogdet(start.whitening)[1])
        np.testing.assert_allclose(start.class_weights, np.bincount(y) / len(y))

    def test_posterior_of_the_start_is_linear_discriminant_analysis(self, wine):
        X, y = wine
        start = fit_whitening(X, np.eye(3)[y], shrinkage=0.0)
        Z = (X - start.mean) @ start.whitening.T
        score = np.stack([multivariate_normal(m).logpdf(Z) for m in start.class_means], axis=1)
        mine = softmax(score + np.log(start.class_weights), axis=1)
        lda = LinearDiscriminantAnalysis(solver="lsqr").fit(X, y).predict_proba(X)
        np.testing.assert_allclose(mine, lda, atol=1e-7)

    def test_weights_count_like_copies(self, wine):
        X, y = wine
        copies = np.random.default_rng(0).integers(0, 3, len(X))
        P = np.eye(3)[y]
        weighted = fit_whitening(X, P, shrinkage=0.1, sample_weight=copies)
        repeated = fit_whitening(X.repeat(copies, 0), P.repeat(copies, 0), shrinkage=0.1)
        np.testing.assert_allclose(weighted.whitening, repeated.whitening, rtol=1e-6)
        np.testing.assert_allclose(weighted.class_means, repeated.class_means, atol=1e-8)

    def test_fewer_rows_than_columns(self):
        rng = np.random.default_rng(0)
        start = fit_whitening(rng.normal(size=(6, 40)), np.eye(2)[[0, 1, 0, 1, 0, 1]])
        assert np.isfinite(start.log_det)
        assert np.isfinite(start.class_means).all()

    def test_errors_name_the_numbers(self):
        with pytest.raises(ValueError, match="3 rows but posteriors has 2"):
            fit_whitening(np.zeros((3, 1)), np.ones((2, 1)))
        with pytest.raises(ValueError, match=r"shrinkage is 1\.5"):
            fit_whitening(np.eye(2), np.ones((2, 1)), shrinkage=1.5)


class TestMeans:
    def test_latent_means_are_class_averages(self):
        Z = np.array([[0.0, 0], [2, 2], [5, 1], [9, 9]])
        means = latent_means(Z, np.array([0, 0, 1, -1]), 3)
        np.testing.assert_allclose(means, [[1, 1], [5, 1], [7 / 3, 1]])

    def test_latent_means_need_a_label(self):
        with pytest.raises(ValueError, match="No row is labeled"):
            latent_means(np.zeros((2, 1)), np.array([-1, -1]), 2)

    def test_two_random_means_lie_at_the_distance_about_the_origin(self):
        means = random_means(2, 5, np.random.default_rng(0), distance=7.5)
        assert np.linalg.norm(means[0] - means[1]) == pytest.approx(7.5)
        np.testing.assert_allclose(means.sum(axis=0), 0, atol=1e-12)

    def test_random_means_are_standard_normal(self):
        means = random_means(400, 50, np.random.default_rng(0))
        assert abs(means.mean()) < 0.03
        assert means.std() == pytest.approx(1, abs=0.02)
        with pytest.raises(ValueError, match="two classes, not 3"):
            random_means(3, 2, np.random.default_rng(0), distance=1.0)


class TestSpaces:
    @pytest.mark.parametrize("columns", [3, 20])
    def test_neighbors_are_scikit_learns(self, columns):
        X = np.random.default_rng(0).normal(size=(300, columns))
        index, distance = nearest_neighbors(X, 7)
        expected, there = NearestNeighbors(n_neighbors=7).fit(X).kneighbors()[::-1]
        np.testing.assert_array_equal(index, expected)
        np.testing.assert_allclose(distance, there, atol=1e-3)

    def test_graph_is_symmetric_with_largest_eigenvalue_one(self):
        X = np.random.default_rng(0).normal(size=(80, 2))
        G = neighbor_graph(X).toarray()
        np.testing.assert_allclose(G, G.T)
        assert np.linalg.eigvalsh(G).max() == pytest.approx(1)

    def test_shrinkage_is_scikit_learns(self):
        X = np.random.default_rng(0).normal(size=(30, 8)) * np.arange(1, 9)
        covariance = np.cov(X.T, bias=True)
        assert oas_shrinkage(covariance, 30) == pytest.approx(OAS().fit(X).shrinkage_)

    def test_normal_scores_do_not_see_monotone_changes(self):
        X = np.random.default_rng(0).normal(size=(60, 3))
        rank = [
            next(
                s
                for s in prepare_spaces(A, 2, np.ones(60), np.random.default_rng(0))
                if s.name == "rank"
            ).X
            for A in (X, np.exp(X))
        ]
        np.testing.assert_allclose(rank[0], rank[1])


class TestCandidates:
    @pytest.fixture
    def space(self, wine):
        X, _ = wine
        return prepare_spaces(X, 4, np.ones(len(X)), np.random.default_rng(0))[0]

    def test_diffusion_solves_the_linear_system(self, space, wine):
        seeds = one_hot(hide(wine[1], 2), 3)
        exact = np.linalg.solve(np.eye(len(seeds)) - 0.99 * space.graph.toarray(), seeds)
        np.testing.assert_allclose(diffuse(space, seeds, 0.99), exact, rtol=0.05, atol=0.02)

    def test_logistic_is_scikit_learns(self, space, wine):
        codes = hide(wine[1], 4)
        mine = linear_posteriors(space, Labels(codes, 3, inverse_penalty=0.5))["logistic"]
        seen = codes >= 0
        peer = LogisticRegression(C=0.5).fit(space.X[seen], codes[seen])
        np.testing.assert_allclose(mine, peer.predict_proba(space.X), atol=1e-2)

    def test_affine_step_with_all_labels_is_shrunk_discriminant_analysis(self, space, wine):
        _, y = wine
        mine = linear_posteriors(space, Labels(y, 3))["affine 1"]
        lda = LinearDiscriminantAnalysis(solver="lsqr").fit(space.X, y)
        assert (mine.argmax(axis=1) == lda.predict(space.X)).mean() > 0.99


class TestPooling:
    def test_temper_undoes_a_power(self):
        rng = np.random.default_rng(0)
        P = softmax(rng.normal(size=(5000, 3)) * 2, axis=1)
        codes = (P.cumsum(axis=1) < rng.random((5000, 1))).sum(axis=1)
        flat = softmax(0.25 * np.log(P), axis=1)
        assert temper(flat, codes) == pytest.approx(4, rel=0.15)

    def test_the_informative_candidate_wins(self):
        rng = np.random.default_rng(0)
        codes = rng.integers(0, 2, 60)
        good, noise = np.where(one_hot(codes, 2) == 1, 0.9, 0.1), rng.dirichlet([1, 1], 60)
        pool = fit_pool(np.stack([good, noise]), codes, np.ones(2))
        assert pool.weights[0] > 10 * pool.weights[1]
        assert label_log_likelihood(pool(np.stack([good, noise])), codes) > -60 * 0.1

    def test_without_labels_the_smoother_candidate_wins(self):
        P = np.random.default_rng(0).dirichlet([1, 1, 1], (2, 50))
        assert np.diff(blind_pool(P, np.array([0.05, 0.4])).weights) < -0.9

    @pytest.mark.parametrize("n_judged", [0, 4, 100])
    def test_doubt_is_the_expected_share_of_errors_after_labels_told_right(self, n_judged):
        expected = beta(0.5, 1.5 + n_judged).mean()  # Beta(1/2, 3/2) after as many successes
        mixed = doubted(np.eye(4), n_judged)
        np.testing.assert_allclose(mixed.sum(1), 1)
        np.testing.assert_allclose(mixed[0, 1:], expected / 4)

    def test_neighbor_cut_counts_the_edges_between_classes(self):
        path = sp.csr_array(np.eye(6, k=1) + np.eye(6, k=-1))
        assert neighbor_cut(np.eye(2)[[0, 0, 0, 1, 1, 1]], path) == pytest.approx(0.2 / 0.501)
        assert neighbor_cut(np.eye(2)[[0, 1, 0, 1, 0, 1]], path) == pytest.approx(1 / 0.501)
        assert neighbor_cut(np.eye(2)[[1, 1, 1, 1, 1, 1]], path) == 1

    def test_shift_prior_keeps_equal_shares_and_strengthens_strong_ones(self):
        even = np.array([[0.8, 0.2], [0.2, 0.8]])
        np.testing.assert_allclose(shift_prior(even, np.array([0.5, 0.5])), even)
        rare = np.repeat([[0.95, 0.05], [0.4, 0.6]], [90, 10], axis=0)
        assert shift_prior(rare, np.array([0.5, 0.5])).mean(axis=0)[1] < rare.mean(axis=0)[1]

    def test_match_prior_finds_the_intercept_that_was_taken_away(self):
        rng = np.random.default_rng(0)
        scores = rng.normal(size=(300, 3))
        true = softmax(scores + np.array([0.0, 2.0, -3.0]), axis=1)
        found = match_prior(softmax(scores, axis=1), true.mean(axis=0), np.ones(300))
        np.testing.assert_allclose(found, true, atol=1e-4)

    def test_match_prior_moves_rows_that_were_sure(self):
        weight = np.array([1.0, 2.0, 1.0])
        found = match_prior(np.eye(2)[[0, 0, 0]], np.array([0.25, 0.75]), weight)
        np.testing.assert_allclose(
            np.average(found, axis=0, weights=weight), [0.25, 0.75], atol=1e-5
        )


class TestPropagate:
    @pytest.mark.parametrize("noise", [0.05, 0.1])
    def test_moons(self, noise):
        X, y = make_moons(1000, noise=noise, random_state=0)
        start = propagate(X, hide(y, 5), 2, random_state=0)
        assert (start.posteriors.argmax(axis=1) == y).mean() > 0.98
        spread = LabelSpreading(kernel="rbf").fit(X, hide(y, 5))
        assert (start.posteriors.argmax(axis=1) == y).mean() >= spread.score(X, y)

    def test_digits_beat_the_labels_alone_by_far(self):
        X, y = load_digits(return_X_y=True)
        X = X[:, X.std(axis=0) > 0]
        codes = hide(y, 2)
        start = propagate(X, codes, 10, random_state=0)
        hidden = codes < 0
        right = (start.posteriors.argmax(axis=1) == y)[hidden].mean()
        alone = (start.baseline.predict(X) == y)[hidden].mean()
        assert right > max(0.85, alone + 0.1)
        nll = [
            -np.log(P[hidden, y[hidden]]).mean()
            for P in (start.posteriors, start.baseline.predict_proba(X))
        ]
        assert nll[0] < nll[1]

    def test_record_is_complete(self, wine):
        X, y = wine
        codes = hide(y, 3)
        start = propagate(X, codes, 3, random_state=0)
        np.testing.assert_allclose(start.posteriors.sum(axis=1), 1)
        np.testing.assert_array_equal(start.fixed(codes)[codes >= 0], np.eye(3)[codes[codes >= 0]])
        assert len(start.candidates) == len(start.weights) == len(start.label_log_likelihoods)
        judged = np.isfinite(start.cross_fitted).all(axis=1)
        assert judged.sum() >= 7
        np.testing.assert_allclose(start.cross_fitted[judged].sum(axis=1), 1)
        assert start.label_log_likelihood == pytest.approx(
            label_log_likelihood(start.cross_fitted[judged], codes[codes >= 0][judged])
            / judged.sum()
        )
        assert start.baseline_label_log_likelihood < 0

    def test_labels_that_were_alone_in_their_cluster_do_not_count(self):
        # Eight lumps in three classes, eleven labels: most lumps lose their only label to a fold.
        X, y = make_eight_gaussians(600, random_state=0)
        lump = np.round(np.arctan2(X[:, 1], X[:, 0]) / (np.pi / 4)).astype(int) % 8
        labeled = [np.flatnonzero(lump == k)[0] for k in range(8)] + [1, 2, 3]
        codes = np.full(len(y), -1)
        codes[labeled] = y[labeled]
        start = propagate(X, codes, 3, random_state=0)
        alone = np.bincount(lump[codes >= 0], minlength=8)[lump[codes >= 0]] == 1
        assert np.isnan(start.cross_fitted[alone]).all()
        assert np.isfinite(start.cross_fitted[~alone]).all()
        assert np.mean(start.posteriors.argmax(axis=1) == y) > 0.97

    def test_with_one_label_a_class_nothing_is_sure(self):
        X, y = make_eight_gaussians(600, random_state=0)
        start = propagate(X, hide(y, 1), 3, random_state=0)
        assert np.isnan(start.cross_fitted).all()
        assert start.posteriors.max() <= 1 - 0.25 * 2 / 3

    @pytest.mark.parametrize("seed", range(3))
    def test_a_category_that_splits_the_rows_does_not_decide_the_classes(self, seed):
        # Two classes three standard deviations apart in two columns; a category follows them in
        # four rows of five. Some pairs of class and level have no label at all.
        rng = np.random.default_rng(seed)
        y = rng.integers(2, size=200)
        X = rng.standard_normal((200, 3)) + 3 * y[:, None]
        X[:, 2] = rng.random(200) < 0.2 + 0.6 * y
        codes = np.where(np.arange(200) < 20, y, -1)
        start = propagate(X, codes, 2, random_state=0)
        bayes = X[:, :2].sum(axis=1) > 3  # without the category
        assert np.mean(start.posteriors.argmax(axis=1) == y) > np.mean(bayes == y) - 0.02

    def test_same_seed_same_bits(self, wine):
        X, y = wine
        a, b = (propagate(X, hide(y, 3), 3, random_state=7) for _ in range(2))
        np.testing.assert_array_equal(a.posteriors, b.posteriors)

    def test_row_order_and_units_of_all_columns_do_not_matter(self, wine):
        X, y = wine
        codes = hide(y, 3)
        order = np.random.default_rng(1).permutation(len(X))
        a = propagate(X, codes, 3, random_state=0)
        b = propagate(X[order], codes[order], 3, random_state=0)
        np.testing.assert_allclose(a.posteriors[order], b.posteriors, atol=1e-5)
        labeled = np.flatnonzero(codes >= 0)
        there = np.flatnonzero(codes[order] >= 0)
        place = np.searchsorted(labeled, order[there])
        np.testing.assert_allclose(a.cross_fitted[place], b.cross_fitted, atol=1e-5)

    def test_a_given_prior_moves_the_shares(self):
        rng = np.random.default_rng(0)
        y = (rng.random(600) < 0.1).astype(int)
        X = rng.normal(size=(600, 2)) + 1.5 * y[:, None]
        shares = [
            propagate(X, hide(y, 5), 2, class_prior=p, random_state=0).posteriors[:, 1].mean()
            for p in (np.array([0.9, 0.1]), np.array([0.5, 0.5]))
        ]
        assert shares[0] < shares[1]

    @pytest.mark.parametrize(
        ("shape", "codes", "n_classes"),
        [
            ((40, 1), [0, 1, 0, 1], 2),
            ((40, 2), [0, 0], 1),
            ((1, 3), [0], 1),
            ((1, 1), [0], 2),
            ((2, 2), [0, 1], 2),
            ((12, 30), [0, 1, 0, 1, 2], 3),
            ((9, 2), [0, 1, 0, 1, 0, 1, 0, 1, 1], 2),
            ((60, 3), [0, 1, 1, 1, 1], 2),
            ((60, 3), [0, 1, 2], 3),
            ((60, 3), [0, 0, 1, 1], 3),
            ((60, 3), [1, 1], 2),
        ],
    )
    def test_edges(self, shape, codes, n_classes):
        X = np.random.default_rng(0).normal(size=shape)
        full = np.full(len(X), -1)
        full[: len(codes)] = codes
        start = propagate(X, full, n_classes, random_state=0)
        assert start.posteriors.shape == (len(X), n_classes)
        np.testing.assert_allclose(start.posteriors.sum(axis=1), 1)
        assert start.baseline.predict_proba(X).shape[0] == len(X)

    def test_duplicate_rows_and_weights(self):
        X = np.random.default_rng(0).normal(size=(20, 2)).repeat(20, axis=0)
        codes = np.full(400, -1)
        codes[[0, 20, 40, 60]] = [0, 1, 0, 1]
        weight = np.random.default_rng(1).random(400)
        start = propagate(X, codes, 2, sample_weight=weight, random_state=0)
        assert np.isfinite(start.posteriors).all()

    def test_rows_beyond_the_limit_follow_their_neighbors(self, monkeypatch):
        monkeypatch.setattr("flowssl.initialization.propagation.MAX_ROWS", 400)
        X, y = make_moons(1500, noise=0.05, random_state=0)
        start = propagate(X, hide(y, 10), 2, random_state=0)
        assert (start.posteriors.argmax(axis=1) == y).mean() > 0.97

    @pytest.mark.parametrize("seed", range(5))
    def test_no_class_is_lost_among_many_labels(self, monkeypatch, seed):
        monkeypatch.setattr("flowssl.initialization.propagation.MAX_ROWS", 60)
        rng = np.random.default_rng(seed)
        codes = np.append(rng.integers(2, size=200), [2, 2])
        X = rng.normal(size=(202, 2)) + 8.0 * codes[:, None]
        start = propagate(X, codes, 3, random_state=seed)
        assert start.baseline.predict_proba(X).shape == (202, 3)
        assert start.posteriors[-2:].argmax(axis=1).tolist() == [2, 2]
        assert (start.posteriors.argmax(axis=1) == codes).mean() > 0.97
        assert np.isfinite(start.cross_fitted[:, 0]).sum() > 50  # all places, none is unlabeled

    def test_few_of_many_labels_choose_the_penalty_wherever_they_lie(self, monkeypatch):
        # One class is at one end of the table, which the rows judged by may not be drawn from alone.
        monkeypatch.setattr("flowssl.initialization.propagation._PENALTY_ROWS", 40)
        rng = np.random.default_rng(0)
        codes = np.repeat([0, 1], 100)
        X = rng.normal(size=(200, 2)) + 6.0 * codes[:, None]
        start = propagate(X, codes, 2, random_state=0)
        chosen = start.baseline[-1]
        assert chosen.C in INVERSE_PENALTIES
        assert Labels(codes, 2).inverse_penalty != chosen.C

    def test_errors_name_the_values(self):
        X = np.zeros((3, 2))
        with pytest.raises(ValueError, match="No row is labeled"):
            propagate(X, np.full(3, -1), 2)
        with pytest.raises(ValueError, match="codes holds 2, but n_classes is 2"):
            propagate(X, np.array([0, 1, 2]), 2)
        with pytest.raises(ValueError, match=r"codes has shape \(2,\)"):
            propagate(X, np.array([0, 1]), 2)
        with pytest.raises(ValueError, match="sample_weight must hold 3 numbers"):
            propagate(X, np.array([0, 1, -1]), 2, sample_weight=np.array([-1.0, 1, 1]))


def test_smoothing_keeps_constants_and_removes_a_lone_dissenter():
    X = np.random.default_rng(0).normal(size=(50, 2))
    P = np.tile([0.9, 0.1], (50, 1))
    P[7] = [0.1, 0.9]
    smoothed = smooth(P, neighbor_graph(X), 0.9)
    assert smoothed[7, 0] > 0.5
    np.testing.assert_array_equal(smooth(P, neighbor_graph(X), 0.0), P)
