"""sinabs: layers."""
