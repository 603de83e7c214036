"""Files become a bundle: metadata, model card, golden frames."""
