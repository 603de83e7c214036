"""The page of a headless board; needs the extra `serve`."""
