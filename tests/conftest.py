"""What all tests share: property tests that try the same examples in every run."""

from hypothesis import settings

settings.register_profile("trailproxy", derandomize=True, database=None, deadline=None)
settings.load_profile("trailproxy")
