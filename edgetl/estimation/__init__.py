"""What a network will cost on a board that nobody has bought yet."""
