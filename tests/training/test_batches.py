"""How batches are drawn."""

import pytest
import torch

from flowssl.training import TrainingRows


def make_rows(n: int, n_labeled: int) -> TrainingRows:
    labeled = torch.arange(n) < n_labeled
    targets = torch.eye(2)[torch.arange(n) % 2]
    return TrainingRows(torch.arange(float(n))[:, None], targets, labeled, torch.ones(n))


def drawn(rows: TrainingRows, size: int, count: int, fraction: float | None, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    return list(rows.batches(size, count, fraction, generator))


def test_every_pass_sees_every_row_once_in_a_new_order():
    rows = make_rows(12, 3)
    batches = drawn(rows, 4, 6, None)
    first, second = (torch.cat([batch.index for batch in batches[i : i + 3]]) for i in (0, 3))
    assert first.sort().values.tolist() == second.sort().values.tolist() == list(range(12))
    assert first.tolist() != second.tolist()


def test_batches_hold_the_rows_of_their_index():
    rows = make_rows(12, 3)
    for batch in drawn(rows, 4, 3, 0.5):
        assert torch.equal(batch.x, rows.x[batch.index])
        assert torch.equal(batch.targets, rows.targets[batch.index])
        assert torch.equal(batch.labeled, rows.labeled[batch.index])


def test_with_a_fraction_every_batch_holds_labeled_rows_of_exactly_that_weight():
    for batch in drawn(make_rows(400, 7), 16, 30, 0.2):
        assert int(batch.labeled.sum()) == 4
        assert int((~batch.labeled).sum()) == 16
        assert batch.weight[batch.labeled].sum().item() == pytest.approx(0.2)


@pytest.mark.parametrize("n_labeled", [0, 5])
@pytest.mark.parametrize("fraction", [None, 0.5])
def test_rows_of_one_kind_only(n_labeled, fraction):
    batches = drawn(make_rows(5, n_labeled), 3, 4, fraction)
    assert [len(batch.index) for batch in batches] == [3, 3, 3, 3]
    assert all(batch.weight.sum().item() == pytest.approx(1) for batch in batches)


def test_batch_larger_than_the_rows_is_all_rows():
    (batch,) = drawn(make_rows(5, 2), 100, 1, None)
    assert batch.index.sort().values.tolist() == list(range(5))


def test_order_follows_from_the_generator():
    rows = make_rows(50, 5)
    order = [torch.cat([b.index for b in drawn(rows, 8, 9, 0.5, seed)]) for seed in (0, 0, 1)]
    assert torch.equal(order[0], order[1])
    assert not torch.equal(order[0], order[2])
