"""The density p(x) of the rows of a table, which no label forms.

Categories have probabilities that add up to 1, numbers a mixture of Gaussians and couplings of
splines, and missing values are integrated out.
"""

from flowssl.marginals.categories import CategoryChain
from flowssl.marginals.marginal import Marginal

__all__ = ["CategoryChain", "Marginal"]
