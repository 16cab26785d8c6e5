"""Runs Odoo's own collection in a folder. Its database is a set of names; everything else is Odoo's."""
import hashlib
import os
import sys
import types

import odoo  # noqa: F401
from odoo.addons.base.models.ir_attachment import IrAttachment

sys.path.insert(0, '/mnt')
import collection  # noqa: E402

FILESTORE = '/mnt/filestore'


class Cursor:
    """Answers what the collection asks: which of these names do rows have?"""
    IN_MAX = 1000

    def __init__(self):
        self.rows, self.found, self.locked, self.refuses = set(), [], 0, None

    def execute(self, query, params=None):
        if query.startswith('LOCK'):
            self.locked += 1
            if self.refuses:
                raise self.refuses
        elif query.startswith('SELECT store_fname'):
            self.found = [(name,) for name in params[0] if name in self.rows]

    def fetchall(self):
        return self.found

    def split_for_in_conditions(self, names, size=None):
        return [tuple(names)] if names else []

    def commit(self):
        pass

    def rollback(self):
        pass


class Attachments(IrAttachment):
    """Odoo's class without a registry behind it, as a database's own class inherits it."""
    _register = False
    _module = 'base'

    def _storage(self):
        return 'file'

    def _filestore(self):
        return FILESTORE


def attachments():
    records = object.__new__(Attachments)
    cursor = Cursor()
    for name, value in (('env', types.SimpleNamespace(cr=cursor, context={})), ('_ids', ())):
        object.__setattr__(records, name, value)
    return records, cursor


def path(name, *below):
    return os.path.join(FILESTORE, *below, name[:2], name)


def create(records, content):
    name = hashlib.sha1(content).hexdigest()
    assert records._file_write(content, name) == name[:2] + '/' + name
    assert os.path.exists(path(name)) and os.path.exists(path(name, 'checklist'))
    return name


def mirrored(*names):
    with open(os.path.join(FILESTORE, 'springtide_mirrored'), 'w') as file:
        file.writelines(name + '\n' for name in names)


def main(changed):
    if changed:
        collection.wait_for_mirror(IrAttachment)
    os.makedirs(FILESTORE)
    records, cursor = attachments()
    one, other, used = (create(records, content) for content in (b'mirrored', b'not mirrored', b'used'))
    cursor.rows = {used[:2] + '/' + used}
    mirrored(one, used)
    records._gc_file_store()
    collected = [word for word, name in (('mirrored', one), ('not mirrored', other), ('used', used))
                 if not os.path.exists(path(name))]
    print('collected: ' + ', '.join(collected))
    if not changed:
        return
    checks = []

    def check(held, what):
        assert held, what
        checks.append(what)

    check(collected == ['mirrored'], 'only what is mirrored and unused is collected')
    check(os.path.exists(path(other, 'checklist')) and not os.path.exists(path(used, 'checklist')),
          'what waits stays on the list, what was judged leaves it')
    check(getattr(IrAttachment._gc_file_store, '_autovacuum', False), 'it is called once a day as before')

    # Acknowledged later, it goes with the next collection.
    mirrored(one, used, other)
    records._gc_file_store()
    check(not os.path.exists(path(other)) and not os.path.exists(path(other, 'checklist')), 'it goes the next time')

    # What a collection that was killed left is looked at anew, and waits if it must.
    again = create(records, b'made again')
    os.makedirs(os.path.dirname(path(again, 'springtide_due')))
    os.rename(path(again, 'checklist'), path(again, 'springtide_due'))
    records._gc_file_store()
    check(os.path.exists(path(again)) and os.path.exists(path(again, 'checklist')), 'what was cut off waits')

    # Without an acknowledgement nothing goes; a line that was cut off acknowledges nothing.
    os.unlink(os.path.join(FILESTORE, 'springtide_mirrored'))
    records._gc_file_store()
    with open(os.path.join(FILESTORE, 'springtide_mirrored'), 'w') as file:
        file.write(again)
    records._gc_file_store()
    check(os.path.exists(path(again)) and os.path.exists(path(again, 'checklist')), 'without its line it waits')

    # A table that cannot be locked: nothing is collected, and nothing leaves the list.
    mirrored(again)
    import psycopg2
    cursor.refuses = psycopg2.errors.LockNotAvailable()
    try:
        records._gc_file_store()
    except psycopg2.errors.LockNotAvailable:
        pass
    cursor.refuses = None
    check(os.path.exists(path(again)) and os.path.exists(path(again, 'checklist')), 'a lock that is refused')
    records._gc_file_store()
    check(not os.path.exists(path(again)) and cursor.locked >= 6, 'and collected with the lock')

    # An entry without a file leaves the list, as in Odoo.
    gone = create(records, b'gone')
    os.unlink(path(gone))
    records._gc_file_store()
    check(not os.path.exists(path(gone, 'checklist')), 'nothing waits for a file that is not there')
    print('%d checks of the add-on hold' % len(checks))


main(sys.argv[1] == 'changed')
