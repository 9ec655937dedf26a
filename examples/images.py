"""
Images
======

Give the shape of the images, and the flow is one of images: multi-scale, with convolutions.
"""

# %%
# Small images, few of them and a short training, so that this runs in seconds: digits of 8 x 8, ten
# labels per class.

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from flowssl import FlowGMMClassifier
from flowssl.datasets import hide_labels
from flowssl.plotting import plot_class_samples, plot_images
from flowssl.preprocessing import bits_per_dimension

images = load_digits().images / 16  # (1797, 8, 8), floats from 0 to 1
X, X_test, truth, y_test = train_test_split(
    images, load_digits().target, train_size=500, test_size=200, random_state=0
)
y = hide_labels(truth, per_class=10, random_state=0)

model = FlowGMMClassifier(images=(1, 8, 8), max_epochs=3, random_state=0).fit(X, y)
print(f"accuracy on {len(X_test)} test images: {model.score(X_test, y_test):.3f}")

# %%
# ``score_samples`` is log P(x) of the discrete image, in nats.

bits = bits_per_dimension(model.score_samples(X_test), 64)
print(f"{bits.mean():.2f} bits per dimension")

# %%
# New images, one class per row; the first column is the image of the class mean.

samples = plot_class_samples(model, temperature=0.0625)

# %%
# The test images that the model finds most unusual.

unusual = model.ood_score(X_test).argsort()[::-1][:20]
strange = plot_images(model, X_test[unusual], [f"a {y_test[i]}" for i in unusual])
