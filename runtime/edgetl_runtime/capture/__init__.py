"""Capture: frames from cameras, streams, files and pipes, in a process of its own."""
