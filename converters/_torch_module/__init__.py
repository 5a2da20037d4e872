"""The torch modules that `to_torch` makes."""
