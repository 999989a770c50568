"""benchmarks: trailproxy beside its peers, measured in the same minutes on the same cores."""
