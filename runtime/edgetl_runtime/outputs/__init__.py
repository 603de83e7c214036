"""Where answers go, each on a thread of its own."""
