"""Norse: cells and modules."""
