"""Evaluation: trained networks applied to splits and image files."""
