"""SpikingJelly: neurons, `layer.*` wrappers, both step modes."""
