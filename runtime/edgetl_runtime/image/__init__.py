"""Images and films become frames, and frames become the model's input."""
