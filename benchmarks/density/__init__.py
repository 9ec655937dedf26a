"""Held-out density: flowssl, Gaussian mixtures and autoregressive flows on the same rows.

Run ``python -m benchmarks.density --help``; see README.md.
"""
