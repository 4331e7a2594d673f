"""All figures of the data path: the hop alone beside Envoy, then everything real in place. ``make bench``."""

from benchmarks import hop, mesh

if __name__ == "__main__":
    hop.main()
    mesh.main()
