//! A distributor's data, planned from a seed and loaded through Odoo's own RPC.
