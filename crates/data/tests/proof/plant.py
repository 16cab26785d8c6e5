# Run by Odoo's shell: a little business, and whatever could do harm.
import os

company = env.company
Template = env["product.template"]
values = {"name": "Proof", "list_price": 10}
if "is_storable" in Template._fields:
    values.update(type="consu", is_storable=True)
else:
    values["type"] = "product"
product = Template.create(values).product_variant_id
stock = env["stock.warehouse"].search([], limit=1).lot_stock_id
quant = env["stock.quant"].with_context(inventory_mode=True).create(
    {"product_id": product.id, "location_id": stock.id, "inventory_quantity": 40}
)
if hasattr(quant, "action_apply_inventory"):
    quant.action_apply_inventory()

# Two dozen of it leave, so that units are converted.
Move = env["stock.move"]
values = {
    "product_id": product.id,
    "product_uom": env.ref("uom.product_uom_dozen").id,
    "product_uom_qty": 2,
    "location_id": stock.id,
    "location_dest_id": env.ref("stock.stock_location_customers").id,
    "company_id": company.id,
}
if "name" in Move._fields:
    values["name"] = "Proof"
move = Move.create(values)
move._action_confirm()
move._action_assign()
if "picked" in Move._fields:
    move.quantity = 2
    move.picked = True
else:
    move.quantity_done = 2
move._action_done()
left = sum(env["stock.quant"].search([("product_id", "=", product.id), ("location_id", "=", stock.id)]).mapped("quantity"))
assert left == 16, left

Account = env["account.account"]


def account(code):
    values = {"name": "Proof " + code, "code": code}
    if "account_type" in Account._fields:
        values["account_type"] = "asset_current"
    else:
        values["user_type_id"] = env.ref("account.data_account_type_current_assets").id
    return Account.create(values).id


one, two = account("109901"), account("109902")
journal = env["account.journal"].create({"name": "Proof", "code": "PRF", "type": "general"})
for amount in (12.34, 100):
    entry = env["account.move"].create(
        {
            "move_type": "entry",
            "journal_id": journal.id,
            "line_ids": [
                (0, 0, {"name": "a", "account_id": one, "debit": amount}),
                (0, 0, {"name": "b", "account_id": two, "credit": amount}),
            ],
        }
    )
    entry.action_post()

for n in range(8):
    env["ir.attachment"].create({"name": "proof %d" % n, "raw": os.urandom(50_000 + n)})

env["ir.mail_server"].create({"name": "real", "smtp_host": "mail.example.com", "smtp_port": 25, "smtp_pass": "hunter2"})
env["fetchmail.server"].create({"name": "real", "server_type": "imap", "server": "in.example.com", "user": "u", "password": "hunter2"})
env["ir.config_parameter"].set_param("proof.api_key", "hunter2")
env["ir.config_parameter"].set_param("auth_password_policy.minlength", "8")
env["res.partner"].browse(1).with_delay().write({"comment": "x"})
env["mail.mail"].create({"subject": "to go out", "email_to": "a@example.com", "body_html": "x", "state": "outgoing"})
env.cr.commit()
print("planted")
