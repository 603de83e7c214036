"""Turns a trained Keras classifier into files that a device runs, and measures those files."""
