"""Run the benchmarks, all or those that are named, and print what they find."""

import sys

from . import awaits, checkpoints, compiling, resumes, waiting

BENCHMARKS = {
    "awaits": awaits.measure,
    "checkpoints": checkpoints.measure,
    "compiling": compiling.compiling,
    "computing": compiling.computing,
    "resumes": resumes.resumes,
    "carrying": resumes.carrying,
    "imports": resumes.imports,
    "waiting": waiting.measure,
}

for name in sys.argv[1:] or BENCHMARKS:
    print(BENCHMARKS[name](), end="\n\n", flush=True)
