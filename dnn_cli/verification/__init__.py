"""Verification of the mathematics: gradient checks and a traced training step."""
