"""Densities of rows without classes: exact, normalized, and able to leave out what is missing.

Where the columns of a table are categories, a density is a probability of their levels. It is
written as a product of factors, one for each column given those before it.
"""

from flowssl.marginals.categories import CategoryChain

__all__ = ["CategoryChain"]
