"""How `from_torch` reads a model: run once on a copy, recorded, folded in time, built."""
