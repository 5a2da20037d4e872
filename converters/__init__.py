"""Ways into and out of neurojax: networks of other libraries and exchange formats.

One module a source. Every importer returns a `neurojax` network, every exporter takes one.
"""
