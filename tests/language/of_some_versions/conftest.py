"""Files that are no Python in some versions are not read there."""

import sys

collect_ignore = ["test_annotations_that_await.py"] if sys.version_info >= (3, 14) else ["test_lazy_annotations.py"]
