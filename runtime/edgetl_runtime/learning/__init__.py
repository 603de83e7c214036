"""Learning: lessons are kept beside the bundle, and the head is fitted with them."""
