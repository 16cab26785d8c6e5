"""The prefork master outlives its database.

Since 17.0 the master asks the database whether its registries are current before it starts a worker.
With the database away that raises, and the master ends itself with all its workers. Here it waits for
its next beat instead, as it would for a worker that cannot be started yet.
"""
import logging
import os

import psycopg2
from odoo.service import server

_logger = logging.getLogger(__name__)


def outlive_database():
    spawn = server.PreforkServer.process_spawn
    away = []

    def process_spawn(self):
        try:
            spawn(self)
        except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
            # A worker is forked inside: what it raises is not the master's.
            if os.getpid() != self.pid:
                raise
            if not away:
                away.append(True)
                _logger.warning('no worker can be started while the database is away (%s)', type(error).__name__)
        else:
            if away:
                away.clear()
                _logger.info('the database is back, workers are started again')

    server.PreforkServer.process_spawn = process_spawn
