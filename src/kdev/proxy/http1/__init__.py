"""HTTP/1 framing without I/O: where messages begin and end, and nothing else about them."""
