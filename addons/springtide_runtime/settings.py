"""What the process was told, read once from its environment; secrets come from files only."""
import os
from collections import namedtuple

#: Where sessions are kept: Unix socket of Redis, its user and password, the prefix that its ACL
#: allows, the keys (newest first; the first encrypts, all decrypt) and the longest idle time.
Sessions = namedtuple('Sessions', 'socket user password prefix keys idle_seconds')

#: Odoo keeps sessions for seven days, too.
IDLE_SECONDS = 7 * 24 * 3600


#: Sessions or None, whether requests are logged, and whether files wait for the mirror before they are collected.
class Settings(namedtuple('Settings', 'sessions request_log files_wait')):
    @classmethod
    def from_environment(cls, environ=os.environ):
        socket = environ.get('SPRINGTIDE_SESSIONS_SOCKET')
        sessions = None
        if socket:
            sessions = Sessions(
                socket=socket,
                user=environ['SPRINGTIDE_SESSIONS_USER'],
                password=_lines(environ['SPRINGTIDE_SESSIONS_PASSWORD_FILE'])[0],
                prefix=environ['SPRINGTIDE_SESSIONS_PREFIX'],
                keys=_lines(environ['SPRINGTIDE_SESSIONS_KEYS_FILE']),
                idle_seconds=int(environ.get('SPRINGTIDE_SESSIONS_IDLE_SECONDS', IDLE_SECONDS)),
            )
        return cls(
            sessions=sessions,
            request_log=environ.get('SPRINGTIDE_REQUEST_LOG') == '1',
            files_wait=environ.get('SPRINGTIDE_FILES_WAIT') == '1',
        )


def _lines(path):
    with open(path, encoding='utf-8') as file:
        lines = [line.strip() for line in file if line.strip()]
    if not lines:
        raise ValueError('%s is empty' % path)
    return lines
