"""The cluster as kdev sees it: targets, preflight, placement of agents, port-forward."""
