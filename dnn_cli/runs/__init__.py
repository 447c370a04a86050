"""Run directories: their files, the records in them, the status of a run, and the comparison of several."""
