"""A graph becomes a file: calibration, both formats, and the search for a file that passes."""
