"""Runs instances: compiled functions in, checkpoints out."""


def link() -> None:
    """Bind compiled code to the functions it calls, and teach snapshots what the runtime knows."""
    from ..state import exceptions
    from . import generators, linking, reducers

    exceptions.register_all()
    linking.bind()
    reducers.register_all()
    generators.register_all()
