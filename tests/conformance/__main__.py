"""Measure the compiler.

python -m tests.conformance                  # all of it; takes hours
python -m tests.conformance cpython test_with --mode stmt
python -m tests.conformance corpus [FOLDER ...]
"""

import sys

from . import corpus, cpython


def main(arguments: list[str]) -> int:
    match arguments:
        case ["cpython", *rest]:
            return cpython.main(rest)
        case ["corpus", *rest]:
            return corpus.main(rest)
        case []:
            return corpus.main([]) | cpython.main([])
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
