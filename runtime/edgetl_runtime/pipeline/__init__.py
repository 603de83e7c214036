"""From frames to stable labels: view, preprocessing, inference, smoothing, events."""
