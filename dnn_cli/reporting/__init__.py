"""Reports: HTML pages and plots of runs, comparisons and explanations."""
