"""Networks: the table of backbones, their weights, the halves at a cut, cached features."""
