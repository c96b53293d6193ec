"""Gauss-Newton correction of sampled poses: from the network's pose to the likeliest one given what it saw."""
