"""Sessions in Redis.

One hash per *identifier*, the part of a session id that stays when it is rotated (its first 42
characters since 18.0; before that the whole id), with one field per id. So both what a request does
(one id) and what the device list does (all ids of an identifier) are single commands. A sorted set
per user holds that user's identifiers, and one more the users, so that all sessions of a user can be
counted and ended from outside (``springtide session``, which uses the same names).

Session ids never reach Redis: keys are made of their hashes, values are encrypted.

The rules that keep it right: Redis may be away at any moment. Reading then gives ``AWAY``, which is
not "no such session": such a session is shown as nobody's and never written, so that the real one is
there again when Redis is. After a failure Redis is left alone for a second, so that requests do not
queue up behind its timeout. A session that was ended from outside stays ended: a request that was
under way writes it back, finds the mark and takes it away again.
"""
import logging
import time

import redis

from .cipher import Cipher, Unreadable, fingerprint

_logger = logging.getLogger(__name__)

#: Seconds a request waits for Redis: a local socket answers in under a millisecond.
TIMEOUT = 0.5
#: Seconds without a try after a failure.
PAUSE = 1.0
#: Seconds after which reading puts off the end of a session: a write per hour and not per request.
TOUCH = 3600
#: What reading gives when Redis cannot be asked.
AWAY = object()


def _client(sessions):
    options = {
        'unix_socket_path': sessions.socket,
        'username': sessions.user,
        'password': sessions.password,
        'socket_timeout': TIMEOUT,
    }
    if int(redis.__version__.split('.')[0]) >= 5:
        # Since 6 the client tries again for seconds by itself; that is our decision, not its.
        from redis.backoff import NoBackoff
        from redis.retry import Retry
        options['retry'] = Retry(NoBackoff(), 0)
        # It would introduce itself, which its user may not.
        options['lib_name'] = options['lib_version'] = None
    return redis.Redis(**options)


class RedisSessions:
    """The part that all series share; ``series`` gives it the words of each session store."""

    def __init__(self, sessions, split, dumps, loads):
        self._redis = _client(sessions)
        self._prefix = sessions.prefix
        self._idle = sessions.idle_seconds
        self._cipher = Cipher(sessions.keys)
        self._split, self._dumps, self._loads = split, dumps, loads
        self._away_until = 0.0

    # -- names

    def _place(self, sid):
        identifier, rest = self._split(sid)
        return self._key(identifier), fingerprint('field:' + rest)

    def _key(self, identifier):
        return '%s:session:%s' % (self._prefix, fingerprint(identifier))

    def _belongs(self, pipeline, key, uid):
        """Notes ``key`` as one of the user's, and forgets those that have ended by themselves: whoever
        logs in again and again would fill Redis, where nothing is evicted."""
        user, users, now = '%s:user:%d' % (self._prefix, uid), '%s:users' % self._prefix, time.time()
        # A session that is used is noted again at the latest an hour after its end was put off.
        ended = now - self._idle - TOUCH
        pipeline.zremrangebyscore(user, '-inf', ended)
        pipeline.zremrangebyscore(users, '-inf', ended)
        pipeline.zadd(user, {key: now})
        pipeline.expire(user, self._idle)
        pipeline.zadd(users, {uid: now})

    # -- what requests do

    def read(self, sid):
        """The data of a session; None if there is none, ``AWAY`` if Redis is."""
        key, field = self._place(sid)

        def ask(pipeline):
            pipeline.hget(key, field)
            pipeline.ttl(key)
        found = self._try(ask)
        if found is None:
            return AWAY
        sealed, left = found
        if sealed is None:
            return None
        try:
            data = self._loads(self._cipher.open(sealed))
        except Unreadable:
            _logger.warning('a session could not be decrypted and is ended')
            return None
        if left < self._idle - TOUCH:
            def touch(pipeline):
                pipeline.expire(key, self._idle)
                if data.get('uid'):
                    self._belongs(pipeline, key, data['uid'])
            self._try(touch)
        return data

    def write(self, sid, data, uid=None):
        key, field = self._place(sid)
        sealed = self._cipher.seal(self._dumps(data))

        def tell(pipeline):
            pipeline.hset(key, field, sealed)
            pipeline.expire(key, self._idle)
            if uid:
                self._belongs(pipeline, key, uid)
            pipeline.exists(key + ':ended')
        told = self._try(tell)
        if told and told[-1]:
            self._try(lambda pipeline: pipeline.delete(key))

    def remove(self, sid):
        key, field = self._place(sid)
        self._try(lambda pipeline: pipeline.hdel(key, field))

    # -- what administration does

    def missing(self, identifiers):
        """Those of ``identifiers`` that have no session. When Redis is away nothing is missing:
        unknown is not gone, and devices are marked as revoked for good."""
        identifiers = list(identifiers)
        found = self._try(lambda pipeline: [pipeline.exists(self._key(one)) for one in identifiers])
        if found is None:
            return set()
        return {one for one, there in zip(identifiers, found) if not there}

    def remove_identifiers(self, identifiers):
        keys = [self._key(one) for one in identifiers]
        if keys:
            self._try(lambda pipeline: pipeline.delete(*keys))

    def answers(self):
        return self._try(lambda pipeline: pipeline.ping()) is not None

    # -- the wire

    def _try(self, commands):
        """The answers, or None when Redis is away or refuses."""
        if time.monotonic() < self._away_until:
            return None
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                commands(pipeline)
                return pipeline.execute()
        except redis.ResponseError as error:
            # It is there and says no: full, most likely. The text may hold the command.
            _logger.error('Redis refuses to keep a session (%s)', str(error).split(' ', 1)[0][:20])
        except (redis.RedisError, OSError) as error:
            _logger.warning('sessions are away (%s); people are asked to log in', type(error).__name__)
            self._away_until = time.monotonic() + PAUSE
        return None
