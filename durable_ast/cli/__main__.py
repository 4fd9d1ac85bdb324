"""``python -m durable_ast.cli``"""

from . import main

main()
