"""Figures of a fitted classifier: its data, its latent space, its samples and its training.

Every function returns a Matplotlib ``Figure`` that is independent of pyplot: write it with
``figure.savefig(path)``. Colors are distinguishable for color-blind readers, and each figure comes
in a theme for light and for dark pages. Matplotlib is imported on first use (``flowssl[plot]``).
"""

from flowssl.plotting.evaluation import plot_history, plot_reliability
from flowssl.plotting.images import plot_class_samples, plot_images
from flowssl.plotting.latent import plot_latent_space
from flowssl.plotting.marginals import plot_marginals
from flowssl.plotting.planar import plot_decision_boundary, plot_flow, plot_samples
from flowssl.plotting.unusual import plot_ood

__all__ = [
    "plot_class_samples",
    "plot_decision_boundary",
    "plot_flow",
    "plot_history",
    "plot_images",
    "plot_latent_space",
    "plot_marginals",
    "plot_ood",
    "plot_reliability",
    "plot_samples",
]
