"""Stub."""

from __future__ import annotations
import numpy as np, torch
from torch import Tensor, nn


class CategoryChain(nn.Module):
    def __init__(self, sizes, *, hidden_features=64, generator=None):
        super().__init__()
        self.sizes = sizes
        self.b = nn.ParameterList([nn.Parameter(torch.zeros(k)) for k in sizes])

    def log_prob(self, codes):
        return sum(b.log_softmax(0)[codes[:, i]] for i, b in enumerate(self.b))

    def complete(self, codes, uniform):
        codes = codes.clone()
        lw = uniform.new_zeros(len(codes))
        for i, b in enumerate(self.b):
            p = b.detach().softmax(0)
            m = codes[:, i] < 0
            d = (p.cumsum(0)[:-1] < uniform[:, i : i + 1]).sum(1)
            codes[m, i] = d[m]
            lw = lw + torch.where(m, 0.0, p.log()[codes[:, i]])
        return codes, lw


def fit_category_chain(codes, sizes, *, weight, held_out, seed):
    c = CategoryChain(sizes)
    for i, k in enumerate(sizes):
        o = codes[:, i] >= 0
        f = np.bincount(codes[o, i], weights=weight[o], minlength=k) + 0.1
        c.b[i].data = torch.tensor(np.log(f / f.sum()), dtype=torch.float32)
    return c
