"""Runs instances: compiled functions in, checkpoints out."""


def link() -> None:
    """Bind compiled code to the functions it calls, and teach snapshots what the runtime knows."""
    from ..state import (
        caught_warnings,
        classes,
        decimals,
        exceptions,
        files,
        instances,
        iterators,
        itertools_objects,
        process_settings,
        shadows,
        standard,
        synchronization,
        tracebacks,
        type_variables,
    )
    from . import asyncio_state, environment, generators, linking, reducers, tasks, variables
    from .program import DurableProgram
    from .steps import Step

    for module in (caught_warnings, classes, decimals, exceptions, files, instances, iterators, itertools_objects):
        module.register_all()
    for module in (process_settings, shadows, standard, synchronization, tracebacks, type_variables):
        module.register_all()
    linking.bind()
    reducers.register_all()
    generators.register_all()
    tasks.register_all()
    variables.register_all()
    asyncio_state.register_all()
    environment.found_by_path(Step)
    environment.found_by_path(DurableProgram)
