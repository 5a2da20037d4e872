"""C sources with places to fill, from which programs are made."""
