"""What Odoo needs to run as several interchangeable processes, loaded server-wide.

- ``settings``: what the process was told, from its environment.
- ``cipher``: encrypts session values.
- ``redis_store``: sessions in Redis, in the words of both series' session stores.
- ``request_log``: one JSON line per request.
- ``health``: what probes ask, answered before Odoo looks at the request.
- ``prefork``: the master outlives its database.
- ``collection``: no attachment's file is deleted before it is mirrored.
- ``series``: the only module that knows how series differ.

It needs no database and no installation: ``server_wide_modules`` loads it, ``post_load`` puts it in
place. Without settings for sessions they stay files.
"""
from . import collection, health, prefork, series
from .settings import Settings


def post_load():
    settings = Settings.from_environment()
    if settings.sessions is not None:
        series.use_sessions(settings.sessions)
    if settings.request_log:
        series.log_requests()
    if settings.files_wait:
        collection.wait_for_mirror(series.attachments())
    # Last, so that probes are answered first and leave no lines.
    health.answer(series.sessions)
    prefork.outlive_database()
