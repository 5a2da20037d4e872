"""snnTorch: neurons."""
