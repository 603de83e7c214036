"""A run, or a model trained elsewhere, becomes a bundle."""
