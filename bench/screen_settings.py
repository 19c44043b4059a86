"""The real settings, with static files served as production serves them: collected, and compressed beforehand."""

import os

from bench.settings import *  # noqa: F403

WHITENOISE_USE_FINDERS = False
STATIC_ROOT = os.environ["SCREEN_STATIC"]
