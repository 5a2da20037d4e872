"""Devices: placing a mapped network on a chip, its configuration file, and access to the chip.

One sub-package a chip family: `bss2` (JSON and a script for hxtorch), `c` (C99 for
microcontrollers), `cri` (memory images of HiAER-Spike), `dynapcnn` (JSON, for the vendor's library)
and `loihi` (the .net files of lava-dl). Vendor software is optional and imported late.
"""
