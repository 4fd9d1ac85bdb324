"""What the installed version of pydantic-ai has none of is not tested."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("pydantic_ai.external_events") else ["test_external_events.py"]
