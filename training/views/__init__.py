"""What a detector would report of a posed body: random cameras, simulated detection, its noise.

Imports `body`, `camera` and `lifting` of the product. A *view* is a posed body as one camera sees it, with the
condition that the network gets.
"""
