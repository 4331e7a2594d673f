"""One run of ``kdev shadow``: its agents and tunnels, as a transition table and the commands it returns."""
