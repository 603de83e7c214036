"""Training: the stages, the loop over epochs, and what survives a crash."""
