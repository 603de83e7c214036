"""Outputs of answers, each on its own thread."""
