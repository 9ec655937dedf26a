"""Mutated files through the readers: a few of each format, and what the benchmark counts."""

import pytest
from benchmarks.robustness.mutants import FORMATS, Mutants
from benchmarks.robustness.mutated_files import Reader, Tally, as_markdown, tally

N_MUTANTS = 60


@pytest.fixture(scope="module")
def tallies():
    return tally(list(FORMATS), N_MUTANTS, seed=1, workers=1)


@pytest.mark.parametrize("ending", FORMATS)
def test_mutated_files_are_read_or_refused_in_one_line(tallies, ending):
    found = tallies[ending]
    assert found.examples == []
    assert found.counts["read"] + found.counts["refused"] == N_MUTANTS
    assert found.counts["refused"] > 5


@pytest.mark.parametrize("ending", FORMATS)
def test_mutants_are_determined_by_their_numbers(ending):
    first, again, other = Mutants(3), Mutants(3), Mutants(4)
    made = [first.make(ending, number) for number in range(20)]
    assert made == [again.make(ending, number) for number in range(20)]
    assert made != [other.make(ending, number) for number in range(20)]
    assert len(set(made)) > 10


def test_a_reader_that_dies_is_seen_and_replaced():
    reader = Reader(seed=1)
    try:
        reader._process.kill()
        reader._process.wait()
        assert reader.ask("npy", 0) == "crashes"
        assert reader.ask("npy", 0)["outcome"] in ("read", "refused")
    finally:
        reader.close()


def test_what_must_not_happen_is_counted_with_an_example():
    found = Tally()
    answer = {"outcome": "read", "seconds": 0.1, "mib": 100.0, "noise": ""}
    for number, (key, value) in enumerate(
        [
            ("outcome", "read"),
            ("outcome", "refused"),
            ("outcome", "builtins.KeyError: x"),
            ("seconds", 11.0),
            ("mib", 2000.0),
            ("noise", "libtiff: x"),
        ]
    ):
        found.add(number, {**answer, key: value})
    found.add(6, "crashes")
    found.add(7, "slow")
    row = as_markdown({"npy": found}, seed=0).splitlines()[-1]
    assert row == "| npy | 8 | 4 | 1 | 1 | 1 | 2 | 1 | 1 | 11.00 | 2000 |"
    assert len(found.examples) == 6
    assert not found.is_clean
