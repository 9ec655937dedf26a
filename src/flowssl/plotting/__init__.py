"""Pictures of a fitted classifier: its data, its latent space, its samples and its training.

Every function returns a Matplotlib ``Figure`` that belongs to no window and no global state; write
it with ``figure.savefig(path)``. Colors tell classes apart for color-blind readers too, and each
picture comes for light and for dark pages. Matplotlib is imported on first use (``flowssl[plot]``).
"""

from flowssl.plotting.figures import (
    plot_decision_boundary,
    plot_flow,
    plot_history,
    plot_latent_space,
    plot_reliability,
    plot_samples,
)
from flowssl.plotting.images import plot_class_samples, plot_images
from flowssl.plotting.style import MAX_DOTS

__all__ = [
    "MAX_DOTS",
    "plot_class_samples",
    "plot_decision_boundary",
    "plot_flow",
    "plot_history",
    "plot_images",
    "plot_latent_space",
    "plot_reliability",
    "plot_samples",
]
