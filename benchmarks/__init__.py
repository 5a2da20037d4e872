"""Comparisons with other libraries, in one process, as ratios. See README.md."""
