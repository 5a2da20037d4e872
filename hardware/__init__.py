"""Devices: placing a mapped network on a chip, its configuration file, and access to the chip.

One sub-package a chip family. Vendor software is optional and imported late.
"""
