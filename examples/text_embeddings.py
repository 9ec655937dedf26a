"""
Text embeddings
===============

A vector per text is a table of numbers. Any embedding will do: a sentence encoder, or, as here,
latent semantic analysis, which needs no download.
"""

# %%
# Which library does a docstring come from? The corpus is at hand offline: the docstrings of three
# libraries' functions, without the libraries' names.

import re

import numpy as np
import scipy.special
import scipy.stats
import torch
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from flowssl import FlowGMMClassifier
from flowssl.datasets import hide_labels
from flowssl.plotting import plot_latent_space

texts, names = [], []
for library in (np, scipy.stats, torch):
    for name in sorted(dir(library)):
        function = getattr(library, name)
        text = function.__doc__ if callable(function) else None
        if isinstance(text, str) and len(text) > 200:
            texts.append(
                re.sub(r"\w*(numpy|np|scipy|stats|torch|tensor|array)\w*", " ", text.lower())
            )
            names.append(library.__name__)
print(f"{len(texts)} texts")

# %%
# 40 numbers for each text, and five labels per class.

embed = make_pipeline(
    TfidfVectorizer(sublinear_tf=True, stop_words="english", min_df=3),
    TruncatedSVD(40, random_state=0),
    Normalizer(),
)
X, X_test, truth, y_test = train_test_split(
    embed.fit_transform(texts), np.array(names), test_size=0.3, random_state=0, stratify=names
)
y = np.where(
    hide_labels(np.unique(truth, return_inverse=True)[1], per_class=5, random_state=0) < 0,
    None,
    truth,
)

# %%
# Logistic regression on the labels alone is fitted, too; if held-out labels showed it to be better,
# the fit would fall back to it.

model = FlowGMMClassifier(max_epochs=30, random_state=0).fit(X, y)
print(f"accuracy on {len(X_test)} test texts: {model.score(X_test, y_test):.3f}")
print(f"unlabeled rows helped: {model.used_unlabeled_}")

# %%
# The test texts in latent space.

latents = plot_latent_space(model, X_test, y_test)
