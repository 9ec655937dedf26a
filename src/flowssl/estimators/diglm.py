"""The deep invertible generalized linear model (Nalisnick et al. 2019) as an estimator."""

from __future__ import annotations

from flowssl.estimators.class_density import ClassPartClassifier


class DIGLMClassifier(ClassPartClassifier):
    """Hybrid of a flow and a linear classifier on its latents (Nalisnick et al. 2019).

    ``log p(x, y) = log N(z; 0, I) + log |det dz/dx| + log softmax_y(W z + b)`` with ``z = f(x)``.
    Labels do not shape the density of a class; they only say where its linear boundaries lie. The
    paper's weight of log p(x) is 1 / (1 + cross_entropy_weight * columns) here.

    Parameters are those of :class:`~flowssl.SemiConditionalFlowClassifier` but ``class_density``,
    ``class_architecture`` and those of images. The boundaries see the first ``class_features`` latents. There are no
    class priors of its own: ``class_prior`` tells only the start what to expect.

    Examples
    --------
    >>> from flowssl import DIGLMClassifier
    >>> from flowssl.datasets import hide_labels, make_moons
    >>> X, truth = make_moons(500, random_state=0)
    >>> y = hide_labels(truth, per_class=5, random_state=0)
    >>> model = DIGLMClassifier(max_epochs=5, random_state=0).fit(X, y)
    >>> bool(model.score(X, truth) > 0.95)
    True
    """

    class_density = "linear"
