"""Stamps of a stream, the rate that follows from them, and the one clock that decides when a track begins.

May import `errors` and `settings` alone. A *stamp* is a time of the source in nanoseconds; a *gap* is a time without a
pose that ends a track.
"""
