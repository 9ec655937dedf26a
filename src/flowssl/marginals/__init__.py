"""The marginal p(x) of the rows of a table: a density of its own, that no label has formed."""

from flowssl.marginals.categories import CategoryChain
from flowssl.marginals.files import marginal_from_arrays, marginal_to_arrays
from flowssl.marginals.fitting import MAX_EXPERTS, MarginalSettings, fit_marginal
from flowssl.marginals.marginal import Marginal

__all__ = [
    "MAX_EXPERTS",
    "CategoryChain",
    "Marginal",
    "MarginalSettings",
    "fit_marginal",
    "marginal_from_arrays",
    "marginal_to_arrays",
]
