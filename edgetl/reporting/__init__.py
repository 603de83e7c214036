"""Pages and words: the report of a run, the comparison of runs, plots and findings."""
