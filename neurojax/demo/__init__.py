"""The demonstration behind `make demo`: real digits, a trained network, a configured chip.

An application: it stands on top of the library and of `neurojax.hardware`, nothing imports it.
"""
