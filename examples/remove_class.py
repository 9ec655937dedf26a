"""
Removing the class from rows
============================

In a semi-conditional flow each class is a small flow of a few latents. Run through it, the code of
a row tells less about its class, and can be decoded as another class.
"""

# %%
# Some digits with all their labels.

from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from flowssl import SemiConditionalFlowClassifier
from flowssl.inspection import attackers, audit_class_removal

X, X_test, y, y_test = train_test_split(
    *load_digits(return_X_y=True), train_size=700, test_size=400, random_state=0
)
model = SemiConditionalFlowClassifier(max_epochs=15, random_state=0).fit(X, y)
print(f"accuracy on {len(X_test)} test rows: {model.score(X_test, y_test):.3f}")

# %%
# How well can attackers tell the class from the code? The removal holds only as far as the
# density is right, so it is measured on rows that the fit has not seen. Two of the four attackers
# are enough here.

few = {name: attackers(random_state=0)[name] for name in ("linear", "kNN")}
audit = audit_class_removal(model, X_test, y_test, against=few, random_state=0)
print(f"chance {audit.chance:.2f}, with the class {audit.best('z_f'):.2f}, ", end="")
print(f"without it {audit.best('z_h'):.2f}")

# %%
# A code decoded as each class: the first column is the image itself, the others are its
# translations.

figure = Figure(figsize=(6, 3), layout="constrained")
axes = figure.subplots(5, 11)
for row, digit in zip(axes, X_test[:5], strict=True):
    translated = [model.translate(digit[None], to=k)[0] for k in model.classes_]
    for cell, pixels in zip(row, [digit, *translated], strict=True):
        cell.imshow(pixels.reshape(8, 8), cmap="gray_r", vmin=0, vmax=16)
        cell.axis("off")
