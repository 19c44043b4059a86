"""The sample clients of the documents, as modules."""

import importlib.util
from pathlib import Path

_spec = importlib.util.spec_from_file_location("live_client", Path("docs/clients/live.py"))
assert _spec is not None
assert _spec.loader is not None
live_client = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(live_client)
