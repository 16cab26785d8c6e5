{
    'name': 'Springtide runtime',
    'summary': 'Sessions in Redis, health routes and one log line per request, for Odoo run by Springtide',
    'version': '1.0',
    'author': 'Springtide',
    'license': 'LGPL-3',
    'category': 'Hidden',
    'depends': ['base', 'web'],
    'post_load': 'post_load',
    # It is loaded, never installed: a database must not depend on it.
    'installable': False,
}
