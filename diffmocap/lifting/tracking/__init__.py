"""Hypotheses over time: which continue, which are weighed down, and when the track breaks.

May import the lifting rooms beside it. A *track* is the time over which one person is followed without interruption; a
*break* is a frame whose pose cannot continue the previous one.
"""
