"""How series differ; everything else of the add-on is the same for all.

Asked is what the code has, not its number: since 16.0 ``odoo.http`` has a ``Request`` of its own and
sessions that are JSON.
"""
import functools
import json
import pickle

import odoo
from odoo import http
from odoo.service import model as service_model

from . import request_log
from .redis_store import AWAY, RedisSessions

#: Whether sessions are JSON and requests are Odoo's own class.
MODERN = not hasattr(http, 'OpenERPSession')
#: Characters of a session id that stay when it is rotated; the whole id where it is not.
STORED = getattr(http, 'STORED_SESSION_BYTES', None)

_sessions = None


def sessions():
    """The sessions in Redis, or None where sessions are files."""
    return _sessions


def identifier(sid):
    return sid[:STORED]


def attachments():
    """The class that every database's ``ir.attachment`` inherits."""
    from odoo.addons.base.models import ir_attachment
    return ir_attachment.IrAttachment


def use_sessions(settings):
    global _sessions
    if MODERN:
        dumps, loads = (lambda data: json.dumps(data).encode()), json.loads
    else:
        # Sessions of 14.0 hold more than JSON can; the values are authenticated, see ``cipher``.
        dumps, loads = functools.partial(pickle.dumps, protocol=4), pickle.loads
    split = lambda sid: (identifier(sid), sid[len(identifier(sid)):])  # noqa: E731
    _sessions = RedisSessions(settings, split=split, dumps=dumps, loads=loads)
    store = (_modern_store if MODERN else _old_store)(_sessions)
    # ``session_store`` is computed once and then an attribute of the application.
    http.root.__dict__.pop('session_store', None)
    type(http.root).session_store = store


def _old_store(backend):
    from odoo.tools._vendor import sessions as vendored

    class Session(http.OpenERPSession):
        #: Whether it may be written; one that could not be read may not.
        can_save = True

    class Store(vendored.SessionStore):
        #: ``save_request_data`` of 14.0 puts uploaded files there.
        path = odoo.tools.config.session_dir

        def save(self, session):
            if session.can_save:
                backend.write(session.sid, dict(session), session.uid)

        def delete(self, session):
            if session.can_save:
                backend.remove(session.sid)

        def get(self, sid):
            if not self.is_valid_key(sid):
                return self.new()
            data = backend.read(sid)
            if data is AWAY:
                session = self.session_class({}, sid, False)
                object.__setattr__(session, 'can_save', False)
                return session
            if data is None:
                # As Odoo's own store does: an id that is not known is not taken over.
                return self.new()
            return self.session_class(data, sid, False)

    # It would sweep a folder that is empty.
    http.session_gc = lambda store: None
    return Store(session_class=Session)


def _modern_store(backend):
    class Store(http.FilesystemSessionStore):
        """Rotation, keys and their checks are inherited; only where sessions lie differs."""

        def save(self, session):
            if session.can_save:
                backend.write(session.sid, dict(session), session.get('uid'))

        def delete(self, session):
            if session.can_save:
                backend.remove(session.sid)

        def get(self, sid):
            if not self.is_valid_key(sid):
                return self.new()
            data = backend.read(sid)
            if data is AWAY:
                session = self.session_class({}, sid, False)
                session.can_save = False
                return session
            if data is None:
                return self.new()
            return self.session_class(data, sid, False)

        def vacuum(self, max_lifetime=None):
            """Redis lets sessions expire by itself."""

        def get_missing_session_identifiers(self, identifiers):
            return backend.missing(identifiers)

        def delete_from_identifiers(self, identifiers):
            for one in identifiers:
                if not http._session_identifier_re.match(one):
                    raise ValueError('Identifier format incorrect, did you pass in a string instead of a list?')
            backend.remove_identifiers(identifiers)

    return Store(odoo.tools.config.session_dir, session_class=http.Session, renew_missing=True)


def log_requests():
    """Wraps the application, notes routes, and counts the tries of transactions that were repeated."""
    application = type(http.root)
    application.__call__ = request_log.logged(application.__call__, identifier)
    if MODERN:
        dispatcher = http.Request._set_request_dispatcher

        def _set_request_dispatcher(self, rule):
            request_log.see(route=str(rule.rule))
            return dispatcher(self, rule)
        http.Request._set_request_dispatcher = _set_request_dispatcher
        retrying = service_model.retrying

        def counted(func, env):
            def attempt(*args, **kwargs):
                request_log.tried()
                return func(*args, **kwargs)
            return retrying(attempt, env)
        service_model.retrying = counted
        return
    get_response = application.get_response

    def _get_response(self, httprequest, result, explicit_session):
        # The request is not there any more when the answer starts.
        endpoint = getattr(http.request, 'endpoint', None)
        routes = getattr(endpoint, 'routing', {}).get('routes') or [None]
        request_log.see(route=routes[0])
        request_log.look(http.request, identifier)
        return get_response(self, httprequest, result, explicit_session)
    application.get_response = _get_response
    check = service_model.check

    def counted_check(func):
        @functools.wraps(func)
        def attempt(*args, **kwargs):
            request_log.tried()
            return func(*args, **kwargs)
        return check(attempt)
    service_model.check = counted_check
