"""Ending one direction of a connection while the other goes on: the only function that does it.

uvloop's ``write_eof()`` corrupts the heap under fast connect, reset and half-close (seen in 0.21, 0.22 and 0.23;
plain asyncio is not affected), so it is never called. Instead the write side of a duplicate of the descriptor is
shut down once everything written has left the transport's buffer.
"""
