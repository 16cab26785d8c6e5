# Run by Odoo's shell on a copy: every model of the code has its table, every stored field its column. Odoo itself looks
# only while it updates, and then it makes a lost table anew, empty.
env.cr.execute("SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema()")
there = {}
for table, column in env.cr.fetchall():
    there.setdefault(table, set()).add(column)
for name in sorted(env.registry):
    model = env[name]
    if model._abstract or getattr(model, "_table_query", None):
        continue
    columns = there.get(model._table)
    if columns is None:
        print("springtide-lost: table %s of model %s is missing" % (model._table, name))
    elif model._auto:
        for field in model._fields.values():
            if field.store and field.column_type and field.name not in columns:
                print("springtide-lost: column %s of table %s is missing" % (field.name, model._table))
print("springtide-looked: %d" % len(there))
