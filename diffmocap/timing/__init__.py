"""Stamps of a stream and the rate that follows from them.

The pipeline asks here when a new track begins and how long a gap may be. May import `errors` alone. A *stamp* is a time
of the source in nanoseconds; a *gap* is the time between two stamps in a row.
"""
