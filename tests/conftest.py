"""For all tests: what they assert is behaviour, so a slow example of a property is no failure."""

from hypothesis import settings

settings.register_profile("behaviour", deadline=None)
settings.load_profile("behaviour")
