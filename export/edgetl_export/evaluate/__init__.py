"""Evaluation of a file: scores, gate, confidence, rejection."""
