"""One module for each kind of source; each runs in the capture process only."""
