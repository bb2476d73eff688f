"""The one process that owns torch, and the way to it.

The window holds an :class:`~cinema_core.engine.client.EngineClient` and never imports torch; its requests and
their outcomes (:mod:`~cinema_core.engine.messages`) cross in shared memory (:mod:`~cinema_core.engine.parcel`)
to a child process that runs :func:`~cinema_core.engine.server.serve` with the tasks of
:mod:`~cinema_core.engine.tasks`.
"""
