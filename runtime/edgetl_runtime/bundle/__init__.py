"""A bundle: the format's one reader, and the golden frames by which a device checks itself."""
