"""The marginal of a table as the tensors of a model file, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from flowssl._model_file import Arrays, filled, grouped, kinds_of
from flowssl._records import TensorKind, check_arrays
from flowssl.bijections import MixtureMap
from flowssl.exceptions import ModelFileError
from flowssl.marginals.categories import CategoryChain
from flowssl.marginals.columns import Columns
from flowssl.marginals.fitting import MAX_EXPERTS
from flowssl.marginals.marginal import Expert, Marginal
from flowssl.marginals.numbers import NumberDensity
from flowssl.marginals.units import Units
from flowssl.preprocessing import Completion
from flowssl.preprocessing.indicators import CategoryGroup

_COLUMNS = (
    "groups",
    "numbers",
    "whole",
    "discrete",
    "atoms",
    "atom_columns",
    "straight",
    "shift",
    "scale",
)
M = TypeVar("M", bound=torch.nn.Module)


def marginal_to_arrays(marginal: Marginal) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of a marginal by name; ``marginal_from_arrays`` rebuilds it."""
    columns = marginal.columns
    arrays: dict[str, NDArray[np.generic]] = {
        "groups": np.array(columns.groups, np.int64).reshape(-1, 2),
        "numbers": columns.numbers.astype(np.int64),
        "whole": columns.whole.astype(np.int64),
        "discrete": columns.discrete.astype(np.int64),
        "atoms": np.concatenate([np.empty(0), *columns.atoms]),
        "atom_columns": np.repeat(np.arange(len(columns.atoms)), [len(a) for a in columns.atoms]),
        "straight": marginal.mixture_units.straight.astype(np.int64),
        "shift": marginal.mixture_units.shift,
        "scale": marginal.mixture_units.scale,
        "weights": marginal.weights,
        "starts_at_mixture": np.array([e.starts_at_mixture for e in marginal.experts], np.int64),
        "has_couplings": np.array([e.density.has_couplings for e in marginal.experts], np.int64),
    }
    parts = {f"expert{i}": expert.density for i, expert in enumerate(marginal.experts)}
    for name, module in {"chain": marginal.chain, "mixture": marginal.mixture, **parts}.items():
        if module is not None:
            state = module.state_dict()
            arrays |= {f"{name}.{key}": value.cpu().numpy() for key, value in state.items()}
    return arrays


def marginal_from_arrays(arrays: Arrays, completion: Completion) -> Marginal:
    """Rebuild a marginal from its arrays, which may have been forged.

    Raises
    ------
    ModelFileError, ValueError
        If they do not fit each other or the table.
    """
    parts = grouped({key: value for key, value in arrays.items() if "." in key})
    plain = {key: value for key, value in arrays.items() if "." not in key}
    columns = _columns(plain, completion.dim)
    n_experts = len(plain["weights"].reshape(-1)) if "weights" in plain else 0
    flags: dict[str, TensorKind] = {"weights": ("f", (n_experts,))}
    flags |= dict.fromkeys(("starts_at_mixture", "has_couplings"), ("i", (n_experts,)))
    check_arrays({k: v for k, v in plain.items() if k not in _COLUMNS}, flags, "marginal")
    weights = plain["weights"].astype(np.float64)
    if n_experts > MAX_EXPERTS or (len(columns.numbers) > 0) != (n_experts > 0):
        raise ModelFileError(
            f"its marginal has {n_experts} densities of {len(columns.numbers)} numbers"
        )
    if n_experts and not ((weights > 0).all() and abs(weights.sum() - 1) < 1e-6):
        raise ModelFileError("its tensor 'marginal.weights' must be positive and add up to 1")
    chain = _chain(parts.pop("chain", {}), columns)
    mixture = _mixture(parts.pop("mixture", {}), len(columns.without_atoms))
    experts = []
    for i in range(n_experts):
        starts, is_flow = (bool(plain[k][i]) for k in ("starts_at_mixture", "has_couplings"))
        if starts and mixture is None:
            raise ModelFileError("its marginal lacks the mixture from which a density starts")
        with torch.device("meta"):
            width = sum(columns.sizes)
            blank = NumberDensity(
                len(columns.numbers), width, has_absent=bool(columns.with_atoms), is_flow=is_flow
            )
        experts.append(
            Expert(_read(blank, parts.pop(f"expert{i}", {}), f"marginal.expert{i}"), starts)
        )
    if parts:
        raise ModelFileError(f"its tensors 'marginal.{min(parts)}' belong to nothing")
    units = Units.of_completion(completion, columns.numbers)
    straight, scale = plain["straight"] != 0, plain["scale"].astype(np.float64)
    if not (scale > 0).all():
        raise ModelFileError("its tensor 'marginal.scale' must be positive")
    shift = plain["shift"].astype(np.float64)
    mixture_units = Units(completion, columns.numbers, straight, shift, scale)
    return Marginal(columns, units, chain, mixture, mixture_units, experts, weights)


def _columns(arrays: Mapping[str, NDArray[np.generic]], dim: int) -> Columns:
    """Rebuild the kinds of the columns of rows of ``dim`` numbers."""
    n_groups, n_numbers, n_atoms = (
        len(arrays[key]) if key in arrays and arrays[key].ndim else 0
        for key in ("groups", "numbers", "atoms")
    )
    wanted: dict[str, TensorKind] = {
        "groups": ("i", (n_groups, 2)),
        "numbers": ("i", (n_numbers,)),
        "whole": ("i", (n_numbers,)),
        "discrete": ("i", (n_numbers,)),
        "atoms": ("f", (n_atoms,)),
        "atom_columns": ("i", (n_atoms,)),
        "straight": ("i", (n_numbers,)),
        "shift": ("f", (n_numbers,)),
        "scale": ("f", (n_numbers,)),
    }
    check_arrays({k: v for k, v in arrays.items() if k in _COLUMNS}, wanted, "marginal")
    groups = tuple(CategoryGroup(int(start), int(size)) for start, size in arrays["groups"])
    numbers, places = arrays["numbers"].astype(np.int64), arrays["atom_columns"]
    if any(not 2 <= group.n_levels <= dim + 1 for group in groups):
        raise ModelFileError("its tensor 'marginal.groups' has levels that its table does not have")
    columns = np.arange(dim)
    covered = [column for group in groups for column in columns[group.columns]]
    if sorted([*covered, *numbers.tolist()]) != columns.tolist():
        raise ModelFileError(f"its marginal does not cover {dim} columns once each")
    if n_atoms and not np.isin(places, np.arange(n_numbers)).all():
        raise ModelFileError("its tensor 'marginal.atom_columns' names columns that are not there")
    atoms = tuple(arrays["atoms"][places == i].astype(np.float64) for i in range(n_numbers))
    if any((np.diff(values) <= 0).any() for values in atoms):
        raise ModelFileError("its tensor 'marginal.atoms' must increase within a column")
    if any(
        flag and not len(values) for flag, values in zip(arrays["discrete"], atoms, strict=True)
    ):
        raise ModelFileError("its tensor 'marginal.discrete' names columns without atoms")
    whole, discrete = arrays["whole"] != 0, arrays["discrete"] != 0
    return Columns(dim, groups, numbers, atoms, whole, discrete)


def _chain(arrays: Arrays, columns: Columns) -> CategoryChain | None:
    if not columns.sizes:
        check_arrays(arrays, {}, "marginal.chain")
        return None
    with torch.device("meta"):
        blank = CategoryChain(columns.sizes)
    return _read(blank, arrays, "marginal.chain")


def _mixture(arrays: Arrays, dim: int) -> MixtureMap | None:
    if not dim:
        check_arrays(arrays, {}, "marginal.mixture")
        return None
    size = len(arrays["means"]) if "means" in arrays and arrays["means"].ndim else 0
    wanted: dict[str, TensorKind] = {
        "log_weights": ("f", (size,)),
        "means": ("f", (size, dim)),
        "factors": ("f", (size, dim, dim)),
    }
    check_arrays(arrays, wanted, "marginal.mixture")
    if not size:
        raise ModelFileError("its marginal.mixture has no Gaussian")
    tensors = {key: torch.from_numpy(value.astype(np.float64)) for key, value in arrays.items()}
    mixture = MixtureMap(tensors["log_weights"], tensors["means"], tensors["factors"])
    mixture.check_buffers()
    return mixture


def _read(blank: M, arrays: Arrays, name: str) -> M:
    """Fill a network without memory by the tensors of a file."""
    check_arrays(arrays, kinds_of(blank), name)
    return filled(blank, arrays)
