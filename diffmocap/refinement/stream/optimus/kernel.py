"""The per-parameter network of a stream's Optimus as machine code: what :meth:`StreamOptimus.gates` computes.

Some thirty small tensor operations per step would cost more than the window's loss itself. Loops run along the
parameters last, so that they use vector instructions.
"""

from __future__ import annotations

import math

import numpy as np

from diffmocap.compiler import compiled


@compiled
def squashed(vectors):
    """asinh of every entry [F, N], float32."""
    found = np.empty_like(vectors)
    for f in range(vectors.shape[0]):
        for n in range(vectors.shape[1]):
            size = abs(vectors[f, n])
            found[f, n] = math.copysign(math.log(size + math.sqrt(size * size + 1.0)), vectors[f, n])
    return found


@compiled
def layer(inputs, weights, outputs, least, most):
    """Adds the products of weights [I, O] and inputs [I, N] to outputs [O, N], then bounds these."""
    count = inputs.shape[1]
    for o in range(len(outputs)):
        for i in range(len(inputs)):
            weight = weights[i, o]
            for n in range(count):
                outputs[o, n] += weight * inputs[i, n]
        for n in range(count):
            outputs[o, n] = min(max(outputs[o, n], least), most)


@compiled
def gates(vectors, context, facts, of_vectors, hidden, hidden_bias, out, out_bias, lambda_a, lambda_b, most):
    """s, 1 + gamma and delta [3, N], see :mod:`diffmocap.refinement.stream.optimus.network`; float32 throughout.

    Args:
        vectors: [F, N] features. context: [H, N] of the encoders. facts: [H] what the facts add to every parameter's.
        of_vectors: [F, H], hidden: [H, H], out: [H, O] weights, inputs first, with their biases [H] and [O].
        lambda_a, lambda_b: of eq. 2. most: bound of the outputs.
    """
    count = vectors.shape[1]
    width, outputs = out.shape
    seen = squashed(vectors)
    first, second = np.empty((width, count), np.float32), np.empty((width, count), np.float32)
    last, found = np.empty((outputs, count), np.float32), np.empty((3, count), np.float32)
    for h in range(width):
        for n in range(count):
            first[h, n] = context[h, n] + facts[h]
            second[h, n] = hidden_bias[h]
    for o in range(outputs):
        for n in range(count):
            last[o, n] = out_bias[o]
    nothing, endless = np.float32(0.0), np.float32(np.inf)
    layer(seen, of_vectors, first, nothing, endless)
    layer(first, hidden, second, nothing, endless)
    layer(second, out, last, -most, most)
    for n in range(count):
        length = np.float32(math.exp(lambda_b * last[1, n]))
        found[0, n] = lambda_a * length * last[2, n] - last[0, n] * vectors[0, n]
        found[1, n] = np.float32(1.0) + last[3, n]
        found[2, n] = last[4, n]
    return found
