"""What probes ask. Both paths are answered before Odoo makes a request of them: no session, no
routing, no line in the log. The entrance blocks ``/springtide/``, so they are for neighbours only.

- ``/springtide/health/live``: the process answers. Asks nobody, so that a database that is away does
  not make every process restart.
- ``/springtide/health/ready``: the database answers and the registry is loaded. One that is not yet
  is loaded by asking, because nobody else is sent to a process that is not ready. Redis is told and
  does not count: without it people can still be asked to log in.
"""
import json
import logging
import threading

import odoo
from odoo import http
from odoo.modules.registry import Registry
from odoo.tools import config

_logger = logging.getLogger(__name__)

LIVE = '/springtide/health/live'
READY = '/springtide/health/ready'


def answer(sessions):
    """Puts the paths before the application; ``sessions`` returns the sessions in Redis or None."""
    application = type(http.root)
    call = application.__call__

    def answered(root, environ, start_response):
        path = environ.get('PATH_INFO')
        if path == LIVE:
            return _answer(start_response, True, {'live': True})
        if path == READY:
            state = _state()
            ready = all(state.values())
            store = sessions()
            state['sessions'] = None if store is None else store.answers()
            return _answer(start_response, ready, dict(state, ready=ready))
        return call(root, environ, start_response)

    application.__call__ = answered


def _answer(start_response, good, state):
    body = json.dumps(state).encode()
    headers = [
        ('Content-Type', 'application/json'),
        ('Content-Length', str(len(body))),
        ('Cache-Control', 'no-store'),
    ]
    start_response('200 OK' if good else '503 Service Unavailable', headers)
    return [body]


# Seconds that a look at the database may take. With it away the pooler keeps a query waiting far longer, and
# a probe that waits as long cannot be told from one that waits for its turn behind other requests.
LOOK_S = 2.0
_looking = threading.Lock()


def _database(name):
    """Whether the database answers in time. One look at a time: those that wait for it would pile up."""
    if not _looking.acquire(timeout=LOOK_S):
        return False
    answered = []

    def look():
        try:
            with odoo.sql_db.db_connect(name).cursor() as cr:
                cr.execute('SELECT 1')
                answered.append(cr.fetchone() == (1,))
        except Exception as error:  # whatever keeps it from answering, the answer is no
            _logger.info('not ready: %s', type(error).__name__)
        finally:
            _looking.release()

    thread = threading.Thread(target=look, name='springtide-health', daemon=True)
    thread.start()
    thread.join(LOOK_S)
    return answered == [True]


def _state():
    names = config['db_name'] or ''
    database = (names if isinstance(names, str) else ','.join(names)).split(',')[0]
    state = {'database': _database(database), 'registry': False}
    if not state['database']:
        return state
    try:
        state['registry'] = bool(Registry(database).ready)
    except Exception as error:  # whatever keeps it from answering, the answer is no
        _logger.info('not ready: %s', type(error).__name__)
    return state
