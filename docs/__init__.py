"""The documentation; the pages of ``reference`` are written by ``docs.generate``."""
