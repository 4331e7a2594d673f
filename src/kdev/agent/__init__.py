"""The in-pod process: holds the tap, runs the splice, talks to the laptop through the tunnel."""
