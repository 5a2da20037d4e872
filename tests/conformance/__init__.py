"""Compares recordings of other software with neurojax: `python -m tests.conformance`.

An area is a folder of recordings and a module here of the same name, with a function
`run(directory) -> Iterator[Result]`. See docs/conformance.md.
"""
