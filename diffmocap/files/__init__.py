"""Files from outside, read with their sizes and kinds checked first: array archives (npz), YAML, weights (safetensors).

Nothing here knows what the contents mean, and nothing is ever unpickled. May import `errors` alone. An *archive* is a
file of named arrays; a *weights file* is safetensors with a format name and a configuration in its metadata.
"""
