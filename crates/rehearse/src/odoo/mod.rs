//! How the rig speaks to Odoo: JSON-RPC, JSON-2 and web sessions.
