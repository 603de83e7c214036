"""Things of no class: the detector that tells them apart, and how a file gets it."""
