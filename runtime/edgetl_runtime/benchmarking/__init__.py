"""How fast a bundle is on this machine: measured, compared, kept."""
