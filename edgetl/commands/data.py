"""`edgetl data`: look at photos before training on them."""

import click


@click.group()
def data() -> None:
    """Check and preview photos before training."""
