"""
The latent space
================

The flow maps rows to latents in which each class is a Gaussian, and back.
"""

# %%
# A pinwheel of five arms, with 13 labels.

from flowssl import FlowGMMClassifier
from flowssl.datasets import hide_labels, make_pinwheel
from flowssl.plotting import plot_flow, plot_history, plot_latent_space, plot_samples

X, truth = make_pinwheel(500, random_state=0)
y = hide_labels(truth, n_labeled=13, random_state=0)
model = FlowGMMClassifier(max_epochs=40, random_state=0).fit(X, y)

# %%
# What the flow does: rows, latents, and the grid that is carried along.

flow = plot_flow(model, X, y)

# %%
# ``transform`` gives the latents and ``inverse_transform`` leads back.

latents = model.transform(X)
error = abs(model.inverse_transform(latents) - X).max()
print(f"largest error of the round trip: {error:.1e}")
space = plot_latent_space(model, X, y)

# %%
# Samples of every class next to the rows.

samples = plot_samples(model, X=X)

# %%
# The training.

history = plot_history(model)
