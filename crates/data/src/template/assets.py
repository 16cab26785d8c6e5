# Read by `odoo shell` in a template's database: builds the pages' assets and keeps them there.
# The shell goes on after an error, so the end says whether all went well.
import os, traceback

try:
    qweb = env["ir.qweb"]
    if hasattr(qweb, "_pregenerate_assets_bundles"):
        qweb._pregenerate_assets_bundles()
    else:
        for bundle in ("web.assets_common", "web.assets_frontend", "web.assets_backend", "web.assets_qweb"):
            if env.ref(bundle, raise_if_not_found=False):
                qweb._get_asset_nodes(bundle, {})
    env.cr.commit()
except Exception:
    traceback.print_exc()
    os._exit(1)
os._exit(0)
