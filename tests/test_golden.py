"""Model files that an earlier version wrote load, and predict what they did then."""

import json

import numpy as np
import pytest
from tests.golden import FOLDER, KINDS, answers

import flowssl


@pytest.mark.parametrize("name", KINDS)
def test_a_golden_file_predicts_what_it_did(name):
    rows, _ = KINDS[name]
    X, _ = rows()
    expected = json.loads((FOLDER / f"{name}.json").read_text())
    found = answers(flowssl.load(FOLDER / f"{name}.flowssl"), X)
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        # Other processors round otherwise; a wrong map would be off by far more.
        np.testing.assert_allclose(found[key], values, rtol=1e-6, atol=1e-6)


def test_every_file_is_read():
    assert {path.stem for path in FOLDER.iterdir()} == set(KINDS)
