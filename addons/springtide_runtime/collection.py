"""Odoo's collection of attachment files waits for their mirror.

Odoo lists files that may have become garbage in ``checklist`` and deletes, once a day, those that no row
names. A file that was made and given up since the last backup would be gone from every instant at which
a row named it. So a collection is shown only those entries that the mirror has acknowledged: they are
moved to ``springtide_due`` for as long as it runs, and it looks there. Everything else it does by itself.

The rules that keep it right: an entry that is not acknowledged is never moved, so nobody's collection
sees it. What a collection that was cut off left is moved back before the next. The acknowledgement
(``springtide_mirrored``, one name a line) stays true, because a file is what its name says; without it
nothing is collected. Where Odoo looks elsewhere than in ``checklist``, nothing is collected either.
"""
import contextlib
import functools
import inspect
import logging
import os
import threading

_logger = logging.getLogger(__name__)

CHECKLIST = 'checklist'
DUE = 'springtide_due'
MIRRORED = 'springtide_mirrored'


def wait_for_mirror(attachments):
    """Changes the class ``attachments`` of ``ir.attachment``, which every database's own inherits."""
    # The part that walks the checklist: since 17.0 a method of its own, called with the table locked.
    part = '_gc_file_store_unsafe' if hasattr(attachments, '_gc_file_store_unsafe') else '_gc_file_store'
    collect, full_path = getattr(attachments, part), attachments._full_path
    here = threading.local()

    @functools.wraps(full_path)
    def _full_path(self, path):
        return full_path(self, DUE if path == CHECKLIST and getattr(here, 'collecting', False) else path)

    @functools.wraps(collect)
    def waiting(self):
        filestore = self._filestore()
        show(filestore)
        here.collecting = True
        try:
            return collect(self)
        finally:
            here.collecting = False
            # Nothing is left of what it went through; all of it, if it did not come to it.
            give_back(filestore)

    @functools.wraps(collect)
    def nothing(self):
        _logger.warning('files are collected in a way that is not known: none are')

    known = _looks_in_checklist(collect)
    attachments._full_path = _full_path
    setattr(attachments, part, waiting if known else nothing)


def _looks_in_checklist(collect):
    try:
        return "self._full_path('%s')" % CHECKLIST in inspect.getsource(collect)
    except (OSError, TypeError):
        return False


def show(filestore):
    """Moves what may be collected to where the collection looks."""
    give_back(filestore)
    mirrored, waiting = _mirrored(filestore), 0
    for folder, name in _entries(os.path.join(filestore, CHECKLIST)):
        entry = os.path.join(filestore, CHECKLIST, folder, name)
        if name in mirrored:
            _move(entry, os.path.join(filestore, DUE, folder), name)
        elif os.path.lexists(os.path.join(filestore, folder, name)):
            waiting += 1
        else:
            # There is no file to wait for; Odoo takes such entries off the list, too.
            with contextlib.suppress(OSError):
                os.unlink(entry)
    if waiting:
        _logger.info('filestore gc: %d files wait until the mirror has them', waiting)


def give_back(filestore):
    """Moves what was shown and is still there to the checklist."""
    for folder, name in _entries(os.path.join(filestore, DUE)):
        entry = os.path.join(filestore, DUE, folder, name)
        _move(entry, os.path.join(filestore, CHECKLIST, folder), name)


def _move(entry, folder, name):
    # Whatever keeps an entry from being moved, it stays where no collection looks, or is looked at again.
    with contextlib.suppress(OSError):
        os.makedirs(folder, exist_ok=True)
        os.rename(entry, os.path.join(folder, name))


def _entries(folder):
    found = []
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for sub in sorted(os.listdir(folder)):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                found.extend((sub, name) for name in sorted(os.listdir(os.path.join(folder, sub))))
    return found


def _mirrored(filestore):
    try:
        with open(os.path.join(filestore, MIRRORED), encoding='ascii') as file:
            # A last line without its end was cut off.
            return {line[:-1] for line in file if line.endswith('\n')}
    except (OSError, ValueError) as error:
        _logger.warning('the mirror has acknowledged nothing yet (%s): no file is collected', type(error).__name__)
        return set()
