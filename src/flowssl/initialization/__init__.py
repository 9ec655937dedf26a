"""Where training starts: pseudo-posteriors of all rows from a few labels, whitening and means.

`propagate` averages cheap classifiers with weights from their cross-fitted label likelihood;
`fit_whitening` turns its posteriors into the first affine map of a flow; `latent_means` and
`random_means` are the paper's own starts.
"""

from flowssl.initialization.means import (
    TABULAR_DISTANCE,
    Whitening,
    component_means,
    fit_whitening,
    latent_means,
    random_means,
)
from flowssl.initialization.pooling import match_prior
from flowssl.initialization.propagation import SoftLabels, follow, join, propagate

__all__ = [
    "TABULAR_DISTANCE",
    "SoftLabels",
    "Whitening",
    "component_means",
    "fit_whitening",
    "follow",
    "join",
    "latent_means",
    "match_prior",
    "propagate",
    "random_means",
]
