"""Programs that run inside the sandbox's containers; they import the standard library and ``h2`` alone."""
