"""The two-loop recursion of limited-memory BFGS as machine code: with a hundred pairs it is a thousand small operations
in torch, which take longer than some losses."""

from __future__ import annotations

import math

import numpy as np

from diffmocap.compiler import compiled


@compiled
def inverse_hessians_times(s, y, cosine, inverse_curvature, first, gradient):
    """H g of every problem [B, N]; see :meth:`diffmocap.optim.limited_memory.Pairs.inverse_hessian_times`.

    Args:
        s, y: [B, K, N] pairs of length 1, the newest first. cosine, inverse_curvature: [B, K]; pairs whose cosine is
            infinite have no effect. first: [B] the multiple of the identity that H begins with. gradient: [B, N].
    """
    found, shares = gradient.copy(), np.empty(s.shape[1], gradient.dtype)
    for b in range(len(found)):
        for k in range(s.shape[1]):
            shares[k] = 0.0
            if math.isinf(cosine[b, k]):
                continue
            product = 0.0
            for n in range(s.shape[2]):
                product += s[b, k, n] * found[b, n]
            shares[k] = product / cosine[b, k]
            for n in range(s.shape[2]):
                found[b, n] -= shares[k] * y[b, k, n]
        for n in range(s.shape[2]):
            found[b, n] *= first[b]
        for k in range(s.shape[1] - 1, -1, -1):
            if math.isinf(cosine[b, k]):
                continue
            product = 0.0
            for n in range(s.shape[2]):
                product += y[b, k, n] * found[b, n]
            share = inverse_curvature[b, k] * shares[k] - product / cosine[b, k]
            for n in range(s.shape[2]):
                found[b, n] += share * s[b, k, n]
    return found
