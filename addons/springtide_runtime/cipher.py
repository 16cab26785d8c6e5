"""Encrypts session values, so that who reads Redis or its memory dump learns nothing.

Fernet is AES-128-CBC with HMAC-SHA256: a value that was tampered with does not decrypt. That is also
what makes it safe to unpickle the values of series 14, whose sessions hold more than JSON can.
"""
import hashlib

from cryptography.fernet import Fernet, InvalidToken, MultiFernet


class Unreadable(Exception):
    """The value was written with a key that is gone, or by somebody else."""


class Cipher:
    def __init__(self, keys):
        self._fernet = MultiFernet([Fernet(key.encode()) for key in keys])

    def seal(self, data):
        return self._fernet.encrypt(data)

    def open(self, sealed):
        try:
            return self._fernet.decrypt(sealed)
        except InvalidToken:
            raise Unreadable()


def fingerprint(text):
    """Stands for a session id where it may be read: in keys of Redis and in logs."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]
