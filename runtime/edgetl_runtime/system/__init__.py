"""The machine: files, processes, processors, clock, certificates."""
