"""The chain of categories: sums over all rows, missing levels, and what a fit recovers."""

from itertools import product

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import entropy
from sklearn.metrics import mutual_info_score

from flowssl.marginals import CategoryChain
from flowssl.marginals.category_fit import fit_category_chain

SIZES = (3, 2, 4)
ALL_ROWS = torch.tensor(list(product(*map(range, SIZES))))


def _shaken(sizes=SIZES, seed=0):
    """A chain whose columns depend on one another."""
    generator = torch.Generator().manual_seed(seed)
    chain = CategoryChain(sizes, hidden_features=8, generator=generator).double()
    with torch.no_grad():
        for parameter in chain.parameters():
            parameter.normal_(generator=generator)
    return chain.requires_grad_(False)


def _sample(chain, n, seed=0):
    missing = torch.full((n, len(chain.sizes)), -1)
    generator = torch.Generator().manual_seed(seed)
    codes, log_weight = chain.complete(missing, torch.rand(missing.shape, generator=generator))
    assert not log_weight.any()
    return codes.numpy()


def _total_variation(codes, reference, size):
    p, q = (np.bincount(c, minlength=size) / len(c) for c in (codes, reference))
    return abs(p - q).sum() / 2


def _every(n, k):
    """Mark every k-th of n rows."""
    return np.arange(n) % k == 0


@pytest.mark.parametrize("sizes", [SIZES, (5,), (2, 50), (1, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_probabilities_of_all_rows_add_up_to_one(sizes, dtype):
    rows = torch.tensor(list(product(*map(range, sizes))))
    log_prob = _shaken(sizes).to(dtype).log_prob(rows)
    assert log_prob.dtype == dtype
    assert log_prob.exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_a_factor_depends_on_the_columns_before_it_and_on_no_other():
    chain = _shaken()
    codes = torch.tensor([[0, 0, 0], [0, 0, 3], [0, 1, 0], [1, 0, 0]])
    first, second, third = chain.log_factors(codes).T
    assert first[0] == first[1] == first[2]
    assert second[0] == second[1] != second[3]
    assert third[0] != third[2]


@pytest.mark.parametrize("row", [(2, 1, 3), (-1, 1, 3), (2, -1, 0), (-1, -1, 1)])
def test_factors_are_those_of_the_formula_where_missing_levels_add_nothing(row):
    chain = _shaken()
    levels, weight, bias = (p.numpy() for p in (chain.levels, chain.weight, chain.bias))
    hidden_bias = chain.hidden_bias.numpy()
    seen = levels[row[0]] * (row[0] >= 0) + levels[3 + row[1]] * (row[1] >= 0)
    logits = weight[2:] @ np.maximum(hidden_bias[1] + seen, 0) + bias[5:]
    expected = logits[row[2]] - logsumexp(logits)
    factors = chain.log_factors(torch.tensor([row]))[0]
    assert factors[2].item() == pytest.approx(expected, rel=1e-12)
    assert [factor == 0 for factor in factors[:2]] == [level < 0 for level in row[:2]]


@pytest.mark.parametrize("missing", [(2,), (1, 2), (0, 1, 2), (), (0,), (1,), (0, 1), (0, 2)])
def test_missing_levels_are_summed_over(missing):
    chain, n = _shaken(), 40_000
    probability = chain.log_prob(ALL_ROWS).exp().reshape(SIZES)
    row = torch.tensor([2, 1, 3])
    seen = [j for j in range(3) if j not in missing]
    exact = probability.sum(missing)[tuple(row[seen])] if missing else probability[tuple(row)]
    codes = row.repeat(n, 1)
    codes[:, list(missing)] = -1
    uniform = torch.rand(codes.shape, generator=torch.Generator().manual_seed(1))
    completed, log_weight = chain.complete(codes, uniform)
    weight = log_weight.exp()
    assert torch.equal(completed[:, seen], codes[:, seen])
    if not any(j > i for i in missing for j in seen):  # only trailing columns are missing
        torch.testing.assert_close(weight, exact.expand(n), rtol=1e-12, atol=0)
    else:
        error = weight.std() / n**0.5
        assert 0 < error < 0.05 * exact
        assert abs(weight.mean() - exact) < 4 * error


def test_completed_levels_are_drawn_given_the_columns_before_them():
    chain, n = _shaken(), 40_000
    uniform = torch.rand((n, 3), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    drawn = chain.complete(torch.tensor([[1, -1, -1]]).expand(n, 3), uniform)[0]
    joint = chain.log_prob(ALL_ROWS).exp().reshape(SIZES)[1]
    expected = (joint / joint.sum()).flatten() * n
    counts = torch.bincount(drawn[:, 1] * 4 + drawn[:, 2], minlength=8)
    assert ((counts - expected).abs() < 4 * expected.sqrt() + 1).all()


def test_extreme_uniform_numbers_name_levels_that_there_are():
    chain = CategoryChain((50, 50), generator=torch.Generator().manual_seed(0))
    missing = torch.full((2, 2), -1)
    least, most = 1e-12, 1 - 2**-24
    codes = chain.complete(missing, torch.tensor([[least, most], [most, least]]))[0]
    assert codes.tolist() == [[0, 49], [49, 0]]


def test_no_rows_are_fine():
    chain, none = _shaken(), torch.empty(0, 3, dtype=torch.int64)
    assert chain.log_prob(none).shape == (0,)
    codes, log_weight = chain.complete(none, torch.empty(0, 3))
    assert codes.shape == (0, 3)
    assert log_weight.shape == (0,)


@pytest.mark.parametrize("sizes", [SIZES, (4,)])
def test_weights_of_a_file_go_into_a_chain_without_memory(sizes):
    chain = _shaken(sizes).float()
    with torch.device("meta"):
        blank = CategoryChain(sizes, hidden_features=8)
    assert {parameter.device.type for parameter in blank.parameters()} == {"meta"}
    assert not list(blank.buffers())
    blank.load_state_dict(chain.state_dict(), assign=True)
    rows = torch.tensor(list(product(*map(range, sizes))))
    assert torch.equal(blank.log_prob(rows), chain.log_prob(rows))


def test_no_random_number_comes_from_the_global_generator():
    before = torch.random.get_rng_state()
    CategoryChain(SIZES, generator=torch.Generator().manual_seed(0))
    codes = _sample(_shaken(), 50)
    fit_category_chain(codes, SIZES, held_out=_every(50, 5), max_epochs=1)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("sizes", [(), (3, 0)])
def test_columns_need_levels(sizes):
    with pytest.raises(ValueError, match="at least one"):
        CategoryChain(sizes)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ([[0, 2, 0]], "level of column 1 is 2 in row 0, and has to be from 0 to 1"),
        ([[0, 0, 0], [-1, 0, 0]], "column 0 is -1 in row 1.*`complete` takes missing levels"),
        ([[0, 0]], r"shape \(n, 3\), got \(1, 2\)"),
    ],
)
def test_codes_are_checked(codes, message):
    with pytest.raises(ValueError, match=message):
        _shaken().log_prob(torch.tensor(codes))
    with pytest.raises(ValueError, match="-2"):
        _shaken().complete(torch.tensor([[0, -2, 0]]), torch.rand(1, 3))


@pytest.mark.parametrize(("levels", "limit"), [(12, 0.03), (50, 0.05)])
def test_sampled_levels_are_as_frequent_as_those_of_the_rows(levels, limit):
    rng = np.random.default_rng(0)
    n, k = 1500, rng.integers(2, size=1500)
    p = np.linspace(2, 0.5, levels)
    p /= p.sum()
    c = np.where(k, rng.choice(levels, n, p=p[::-1]), rng.choice(levels, n, p=p))
    codes = np.stack((k, c), 1)
    chain = fit_category_chain(codes, (2, levels), held_out=_every(n, 10), max_epochs=12)
    sampled = _sample(chain, 50_000)
    assert _total_variation(sampled[:, 1], c, levels) < limit / 2


def _paired_columns(n, seed):
    """Levels of two columns that come in pairs nine times of ten; marginals tell nothing."""
    rng = np.random.default_rng(seed)
    first = rng.integers(12, size=n)
    second = np.where(rng.random(n) < 0.9, (5 * first) % 12, rng.integers(12, size=n))
    return np.stack((first, second), 1)


def test_pairs_of_levels_are_recovered():
    codes = _paired_columns(2000, 0)
    chain = fit_category_chain(codes, (12, 12), held_out=_every(2000, 10), max_epochs=15)
    sampled = _sample(chain, 20_000)
    same, other = 0.9 + 0.1 / 12, 0.1 / 12
    truth = np.log(12) - entropy([same, *[other] * 11])  # mutual information in nats
    assert mutual_info_score(*sampled.T) == pytest.approx(truth, abs=0.1)
    test = _paired_columns(4000, 1)
    hit = test[:, 1] == (5 * test[:, 0]) % 12
    true_log_prob = np.where(hit, np.log(same), np.log(other)) - np.log(12)
    log_prob = chain.log_prob(torch.tensor(test)).numpy()
    assert log_prob.mean() > true_log_prob.mean() - 0.05
    assert log_prob.mean() < true_log_prob.mean()


def test_a_rare_level_stays_as_rare_as_it_is():
    rng = np.random.default_rng(0)
    first = rng.integers(2, size=2000)
    second = np.where(np.arange(2000) % 200 == 7, 2, first ^ (rng.random(2000) < 0.2))
    codes = np.stack((first, second), 1)
    chain = fit_category_chain(codes, (2, 3), held_out=_every(2000, 10), max_epochs=12)
    assert (_sample(chain, 50_000)[:, 1] == 2).mean() == pytest.approx(0.005, rel=0.4)


def test_a_level_that_training_rows_lack_has_a_probability():
    codes = np.zeros((20, 1), dtype=np.int64)
    chain = fit_category_chain(codes, (3,), held_out=_every(20, 4))
    frequencies = chain.log_prob(torch.arange(3)[:, None]).exp()
    torch.testing.assert_close(frequencies, torch.tensor([20.5, 0.5, 0.5]) / 21.5)


def test_independent_columns_are_never_worse_on_the_held_out_rows():
    rng = np.random.default_rng(0)
    codes, held_out = rng.integers((12, 6, 3), size=(200, 3)), _every(200, 5)
    independent = fit_category_chain(codes, (12, 6, 3), held_out=held_out, max_epochs=0)
    chain = fit_category_chain(codes, (12, 6, 3), held_out=held_out, max_epochs=8)
    rows = torch.tensor(codes[held_out])
    assert chain.log_prob(rows).mean() > independent.log_prob(rows).mean() - 1e-4
    counts = np.bincount(codes[:, 0], minlength=12) + 0.5
    marginal = independent.log_factors(torch.tensor([[k, 0, 0] for k in range(12)]))[:, 0].exp()
    np.testing.assert_allclose(marginal, counts / counts.sum(), rtol=1e-5)


@pytest.mark.parametrize("held_out", [np.zeros(30, bool), np.ones(30, bool)])
def test_without_rows_to_train_on_or_to_choose_by_columns_stay_independent(held_out):
    codes = np.repeat([[0, 0], [1, 1], [1, 2]], 10, axis=0)
    chain = fit_category_chain(codes, (2, 3), held_out=held_out)
    expected = np.outer([10.5, 20.5], [10.5, 10.5, 10.5]) / (31 * 31.5)
    rows = torch.tensor(list(product(range(2), range(3))))
    np.testing.assert_allclose(chain.log_prob(rows).exp(), expected.ravel(), rtol=1e-5)


def test_a_fit_depends_on_the_seed_alone():
    codes, held_out = _paired_columns(300, 0), _every(300, 5)
    fits = [
        fit_category_chain(codes, (12, 12), held_out=held_out, max_epochs=4, seed=seed).state_dict()
        for seed in (0, 0, 1)
    ]
    assert all(torch.equal(fits[0][name], fits[1][name]) for name in fits[0])
    assert not torch.equal(fits[0]["weight"], fits[2]["weight"])


def test_weights_count_rows():
    codes = _paired_columns(200, 0)
    weight = np.random.default_rng(0).integers(3, size=200)
    repeated = np.repeat(codes, weight, axis=0)
    few = fit_category_chain(
        codes, (12, 12), held_out=np.zeros(200, bool), weight=weight.astype(float)
    )
    many = fit_category_chain(repeated, (12, 12), held_out=np.zeros(len(repeated), bool))
    torch.testing.assert_close(few.bias, many.bias)
    # Rows without weight change nothing, neither the training nor the choice of an epoch.
    bad = np.concatenate((codes, np.zeros((50, 2), dtype=np.int64)))
    ours, theirs = (
        fit_category_chain(
            rows,
            (12, 12),
            held_out=_every(len(rows), 5),
            weight=(np.arange(len(rows)) < 200).astype(float),
            max_epochs=3,
        )
        for rows in (codes, bad)
    )
    assert all(map(torch.equal, ours.parameters(), theirs.parameters()))


def test_rows_with_missing_levels_teach_what_they_hold():
    rng = np.random.default_rng(0)
    codes = _paired_columns(3000, 0)
    codes[rng.random(codes.shape) < 0.3] = -1
    chain = fit_category_chain(codes, (12, 12), held_out=_every(3000, 10), max_epochs=15)
    assert mutual_info_score(*_sample(chain, 20_000).T) > 1.5  # of 1.98 nats
    test = torch.tensor(_paired_columns(2000, 1))
    test[:, 0] = -1
    uniform = torch.rand(test.shape, generator=torch.Generator().manual_seed(0))
    log_weight = chain.complete(test.repeat(10, 1), uniform.repeat(10, 1))[1]
    assert log_weight.exp().mean() == pytest.approx(1 / 12, rel=0.1)
