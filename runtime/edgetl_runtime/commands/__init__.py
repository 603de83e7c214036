"""The commands of `edgetl-run`, one module each."""
