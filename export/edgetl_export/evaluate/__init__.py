"""What a file says, and whether it may ship: scores, gate, confidence, rejection."""
