"""C sources of the command-line program, the same for every network."""
