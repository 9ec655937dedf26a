"""Accuracy with few labels: every method, data set and label budget on the same label draws.

Run ``python -m benchmarks.accuracy --suite small``; see ``--help`` and README.md.
"""
