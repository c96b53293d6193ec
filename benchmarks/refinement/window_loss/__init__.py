"""The window loss as it is compiled against the same law differentiated by jax: values, times, starts."""
