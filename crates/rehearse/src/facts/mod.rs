//! What Odoo's database holds, for the ledger to compare with.
