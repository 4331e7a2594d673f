"""HTTP/2 in the splice: frames forwarded verbatim, header blocks read along, streams stolen one by one.

``connection`` is the edge; everything else is without I/O. See docs/decisions/0006-http2-router.md.
"""
