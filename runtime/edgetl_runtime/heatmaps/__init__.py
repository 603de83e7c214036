"""Heat maps: where in a frame the evidence for a class lies."""
