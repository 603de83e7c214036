"""The float graph that every file is made of: its arithmetic, its ranges, its head."""
