"""Run directories: what is in them, their status, and how runs compare."""
