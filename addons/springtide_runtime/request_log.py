"""One JSON line per request: what was asked, how long it took, and what the database had to do.

It goes to the process' standard error as it is, beside Odoo's own lines, and is rotated with them. No
personal data: no address, no user, no parameter, no body; the session only as a hash. Paths are the
route's pattern, because paths may hold tokens; model and method only if the code has them.
"""
import json
import os
import re
import threading
import time
from datetime import datetime

from odoo import http

from .cipher import fingerprint

_static = re.compile(r'^/\w+/static/')
_request_id = re.compile(r'^[0-9a-fA-F-]{8,64}$')


def tried():
    """Counts one attempt of the transaction of the current request."""
    thread = threading.current_thread()
    thread.springtide_tries = getattr(thread, 'springtide_tries', 0) + 1


def see(**what):
    """Keeps what the line of the current request will tell."""
    seen = getattr(threading.current_thread(), 'springtide_seen', None)
    if seen is not None:
        seen.update(what)


def logged(call, session_part):
    """Wraps the WSGI application ``call``; ``session_part`` is what of a session id stays the same."""

    def application(root, environ, start_response):
        thread = threading.current_thread()
        thread.springtide_tries = 0
        # Odoo sets them, but not for every answer.
        thread.query_count = 0
        thread.query_time = 0
        seen = thread.springtide_seen = {}
        began = time.perf_counter()

        def start(status, headers, *rest):
            seen['status'] = int(status.split(' ', 1)[0])
            look(http.request, session_part)
            return start_response(status, headers, *rest)

        try:
            return call(root, environ, start)
        finally:
            thread.springtide_seen = None
            _write(_line(environ, seen, thread, time.perf_counter() - began))

    return application


def _line(environ, seen, thread, seconds):
    path = environ.get('PATH_INFO') or ''
    given = environ.get('HTTP_X_REQUEST_ID') or ''
    return {
        'time': datetime.utcnow().isoformat(timespec='milliseconds') + 'Z',
        'kind': 'request',
        'verb': environ.get('REQUEST_METHOD'),
        'status': seen.get('status'),
        'route': seen.get('route') or ('static' if _static.match(path) else 'unmatched'),
        'model': seen.get('model'),
        'method': seen.get('method'),
        'ms': round(seconds * 1000, 1),
        'sql': getattr(thread, 'query_count', 0),
        'sql_s': round(getattr(thread, 'query_time', 0.0), 4),
        'retries': max(0, thread.springtide_tries - 1),
        'session': seen.get('session'),
        'id': given if _request_id.match(given) else None,
    }


def _write(line):
    # One call, so that lines of several processes do not mix.
    try:
        os.write(2, json.dumps(line, separators=(',', ':')).encode() + b'\n')
    except OSError:
        # A line that cannot be written must not cost the answer.
        pass


def look(request, session_part):
    """Keeps model, method and hashed session of ``request``, as far as they are known."""
    if not request:
        return
    try:
        params = getattr(request, 'params', None) or {}
        model, method = params.get('model'), params.get('method')
        known = request.registry.get(model) if isinstance(model, str) and request.registry else None
        if known is not None:
            see(model=model)
            if isinstance(method, str) and hasattr(known, method):
                see(method=method)
    except Exception:  # a request that failed early has no more to tell
        pass
    sid = getattr(getattr(request, 'session', None), 'sid', None)
    if sid:
        see(session=fingerprint('log:' + session_part(sid))[:12])
