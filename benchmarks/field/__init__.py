"""What comes in from the field: one module a kind of input, each a tuple ``CASES`` of measured cases.

The package is run under other checkouts of diffmocap, too, to measure how it was before. So its modules import each
other relatively, nothing else of ``benchmarks``, and of ``diffmocap`` only what both versions have; what one lacks is
imported inside the measurement, whose error then is the result. Inputs are made by the cases themselves.
"""
