"""Other views of a photo, for training only: chosen by names and strengths in one place.

A view follows from the photo's hash, the view's number and the strengths, and from nothing else,
so that a run repeats, and so that what is computed from a view can be kept.
"""
