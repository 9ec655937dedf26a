"""Settings and fixtures shared by all tests."""

import os
from collections.abc import Iterator
from pathlib import Path

# Before NumPy or PyTorch is imported: one thread for each worker process and for each program that
# a test starts, since several workers with several threads each slow one another down.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from sklearn.datasets import load_digits

from flowssl import FlowGMMClassifier

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("FLOWSSL_DATA", ROOT.parent / "shared" / "data"))

# The same examples in every run, so that a red test is red for everyone;
# HYPOTHESIS_PROFILE=explore looks for new ones.
settings.register_profile(
    "flowssl",
    deadline=None,
    max_examples=25,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "explore", parent=settings.get_profile("flowssl"), max_examples=500, derandomize=False
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "flowssl"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="cpu", help="where the maths is tested: cpu, cuda, cuda:1")


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> torch.device:
    """Device on which the maths is tested, from ``--device``."""
    return torch.device(request.config.getoption("--device"))


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep embeddings of texts in a folder of this run, not in the user's."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLOWSSL_CACHE_DIR", str(folder))
        yield folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real data sets; the test is skipped where there is none."""
    if not DATA.is_dir():
        pytest.skip(f"the real data sets are not on this machine: there is no {DATA}")
    return DATA


@pytest.fixture(scope="session")
def image_model() -> tuple[FlowGMMClassifier, np.ndarray, np.ndarray, np.ndarray]:
    """A model of 8 x 8 zeros, ones and twos, the images, their labels (-1: hidden) and the truth."""
    X, truth = load_digits(n_class=3, return_X_y=True)
    X = (X[:150].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    truth = truth[:150]
    y = np.full(150, -1)
    for k in range(3):
        y[np.flatnonzero(truth == k)[:6]] = k
    model = FlowGMMClassifier(
        images=(1, 8, 8), max_epochs=1, batch_size=16, learning_rate=5e-4, random_state=0
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flowssl.estimators._image_domain.STEPS", 40 * 12)
        patch.setattr("flowssl.initialization.propagation.FOLDS_UP_TO", ())
        model.fit(X[:110], y[:110])
    return model, X, y, truth
