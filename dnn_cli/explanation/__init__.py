"""Explanations: which pixels and hidden units led to a prediction."""
