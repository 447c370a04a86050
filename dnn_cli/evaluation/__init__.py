"""Apply trained networks to splits and image files, and compare their results."""
