"""Tables of which a few rows are labeled."""

import numpy as np
import pytest
from sklearn.datasets import load_wine


@pytest.fixture(scope="session")
def wine() -> tuple[np.ndarray, np.ndarray]:
    return load_wine(return_X_y=True)
