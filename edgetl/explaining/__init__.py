"""Why a model answers as it does: heat maps of runs and bundles, on the workstation."""
