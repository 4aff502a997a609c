"""For all tests: what they assert is behaviour, so a slow example of a property is no failure.

And Ctrl-C works, in what they start too: a shell runs jobs in the background with it ignored, and that is inherited.
"""

import signal

from hypothesis import settings

signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("behaviour", deadline=None)
settings.load_profile("behaviour")
