"""Hypotheses over time: which continue, which lose weight, and when a jump ends the track.

May import the other packages of lifting. A *track* is the time over which one person is followed without interruption;
a *break* is a frame whose pose cannot continue the previous one. A gap in time ends a track, too: that is decided for
the whole pipeline by `timing.track_clock`.
"""
