"""Photos, their labels and parts: listing, reading, near-duplicates, splitting, the manifest."""
