"""Accuracy over the number of training photos, and what more of them would bring."""
