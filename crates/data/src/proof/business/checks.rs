//! The business checks as data. Each is one query that returns a text per finding. A check names the tables and columns
//! it reads and applies where they are, so series differ by what their tables have and no version is compared.

/// One check, or one form of it.
pub struct Check {
    /// Its name; several forms for different tables share one.
    pub name: &'static str,
    /// Tables and columns it reads.
    pub needs: &'static [(&'static str, &'static [&'static str])],
    /// A column in whose presence another form is the right one.
    pub unless: Option<(&'static str, &'static str)>,
    /// One text per finding.
    pub sql: &'static str,
}

/// Stock that is kept against what done moves say, with a sum of moves and a word for what is stored at all.
macro_rules! quants {
    ($moved:literal, $stored:literal) => {
        concat!(
            "WITH kept AS (SELECT product_id, location_id, sum(quantity)::numeric AS quantity FROM stock_quant GROUP BY 1, 2),
             done AS (", $moved, "),
             moved AS (SELECT product_id, location_id, sum(quantity) AS quantity FROM (
                 SELECT product_id, location_dest_id AS location_id, quantity FROM done
                 UNION ALL SELECT product_id, location_id, -quantity FROM done) both_ways GROUP BY 1, 2),
             sums AS (SELECT product_id, location_id, coalesce(k.quantity, 0) AS kept, coalesce(m.quantity, 0) AS moved
                      FROM kept k FULL JOIN moved m USING (product_id, location_id))
             SELECT format('product %s at location %s: %s in stock, %s by its moves', p.id, l.id, trim_scale(round(s.kept, 4)), trim_scale(round(s.moved, 4)))
             FROM sums s JOIN product_product p ON p.id = s.product_id JOIN product_template t ON t.id = p.product_tmpl_id
             JOIN stock_location l ON l.id = s.location_id
             WHERE l.usage IN ('internal', 'transit') AND ",
            $stored,
            " AND abs(s.kept - s.moved) > 0.01 + 0.000001 * abs(s.moved)"
        )
    };
}

const QUANT: (&str, &[&str]) = ("stock_quant", &["product_id", "location_id", "quantity"]);
const PRODUCT: (&str, &[&str]) = ("product_product", &["id", "product_tmpl_id"]);
const LOCATION: (&str, &[&str]) = ("stock_location", &["id", "usage"]);

/// Key tables whose references must lead somewhere.
macro_rules! key_tables {
    () => {
        "'account_move', 'account_move_line', 'account_payment', 'account_partial_reconcile', 'sale_order', 'sale_order_line',
         'purchase_order', 'purchase_order_line', 'stock_picking', 'stock_move', 'stock_move_line', 'stock_quant',
         'product_template', 'product_product', 'res_partner', 'res_users', 'res_company', 'ir_model_data', 'ir_attachment'"
    };
}

/// All of them.
pub const CHECKS: &[Check] = &[
    Check {
        name: "posted moves balance",
        needs: &[("account_move", &["id", "state"]), ("account_move_line", &["move_id", "debit", "credit"])],
        unless: None,
        sql: "SELECT format('posted move %s is %s off balance', m.id, sum(l.debit) - sum(l.credit))
              FROM account_move m JOIN account_move_line l ON l.move_id = m.id WHERE m.state = 'posted'
              GROUP BY m.id HAVING abs(sum(coalesce(l.debit, 0)) - sum(coalesce(l.credit, 0))) >= 0.005",
    },
    Check {
        name: "books balance",
        needs: &[("account_move", &["id", "state", "company_id"]), ("account_move_line", &["move_id", "balance"])],
        unless: None,
        sql: "SELECT format('books of company %s are %s off balance', m.company_id, sum(l.balance))
              FROM account_move m JOIN account_move_line l ON l.move_id = m.id WHERE m.state = 'posted'
              GROUP BY m.company_id HAVING abs(sum(coalesce(l.balance, 0))) >= 0.005",
    },
    Check {
        name: "stock is what was moved",
        needs: &[
            QUANT,
            PRODUCT,
            LOCATION,
            ("stock_move_line", &["product_id", "location_id", "location_dest_id", "state", "qty_done", "product_uom_id"]),
            ("product_template", &["id", "type", "uom_id"]),
            ("uom_uom", &["id", "factor"]),
        ],
        unless: Some(("stock_move_line", "quantity_product_uom")),
        sql: quants!(
            "SELECT l.product_id, l.location_id, l.location_dest_id, l.qty_done::numeric / u.factor * own.factor AS quantity
             FROM stock_move_line l JOIN uom_uom u ON u.id = l.product_uom_id JOIN product_product p ON p.id = l.product_id
             JOIN product_template t ON t.id = p.product_tmpl_id JOIN uom_uom own ON own.id = t.uom_id
             WHERE l.state = 'done' AND u.factor <> 0",
            "t.type = 'product'"
        ),
    },
    Check {
        name: "stock is what was moved",
        needs: &[
            QUANT,
            PRODUCT,
            LOCATION,
            ("stock_move_line", &["product_id", "location_id", "location_dest_id", "state", "quantity_product_uom"]),
            ("product_template", &["id", "type"]),
        ],
        unless: Some(("product_template", "is_storable")),
        sql: quants!(
            "SELECT product_id, location_id, location_dest_id, quantity_product_uom::numeric AS quantity
             FROM stock_move_line WHERE state = 'done'",
            "t.type = 'product'"
        ),
    },
    Check {
        name: "stock is what was moved",
        needs: &[
            QUANT,
            PRODUCT,
            LOCATION,
            ("stock_move_line", &["product_id", "location_id", "location_dest_id", "state", "quantity_product_uom"]),
            ("product_template", &["id", "is_storable"]),
        ],
        unless: None,
        sql: quants!(
            "SELECT product_id, location_id, location_dest_id, quantity_product_uom::numeric AS quantity
             FROM stock_move_line WHERE state = 'done'",
            "t.is_storable"
        ),
    },
    Check {
        name: "sequences are ahead",
        needs: &[("ir_model", &["id"])],
        unless: None,
        // The tables are asked by a query that a query makes: their names are only known here.
        sql: "SELECT format('%s stands at %s, %s has %s', q.sequence, coalesce(q.last, 0), q.of, q.top)
              FROM (SELECT s.oid::regclass AS sequence, c.oid::regclass AS of, pg_sequence_last_value(s.oid) AS last,
                           (xpath('/row/top/text()', query_to_xml(
                               format('SELECT max(%I) AS top FROM %s', a.attname, c.oid::regclass), false, true, '')))[1]::text::bigint AS top
                    FROM pg_class s
                    JOIN pg_depend d ON d.objid = s.oid AND d.classid = 'pg_class'::regclass
                     AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
                    JOIN pg_class c ON c.oid = d.refobjid AND c.relkind IN ('r', 'p')
                    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid
                    WHERE s.relkind = 'S' AND c.relnamespace = 'public'::regnamespace) q
              WHERE q.top > coalesce(q.last, 0)",
    },
    Check {
        name: "references lead somewhere",
        needs: &[("ir_model", &["id"])],
        unless: None,
        sql: concat!(
            "SELECT format('%s rows of %s.%s lead to no row of %s', q.lost, q.child, q.from_column, q.parent)
             FROM (SELECT k.conrelid::regclass AS child, a.attname AS from_column, k.confrelid::regclass AS parent,
                          (xpath('/row/lost/text()', query_to_xml(format(
                              'SELECT count(*) AS lost FROM %s c WHERE c.%I IS NOT NULL AND NOT EXISTS (SELECT 1 FROM %s p WHERE p.%I = c.%I)',
                              k.conrelid::regclass, a.attname, k.confrelid::regclass, b.attname, a.attname), false, true, '')))[1]::text::bigint AS lost
                   FROM pg_constraint k
                   JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
                   JOIN pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = k.confkey[1]
                   JOIN pg_class c ON c.oid = k.conrelid
                   WHERE k.contype = 'f' AND cardinality(k.conkey) = 1 AND k.connamespace = 'public'::regnamespace
                     AND c.relname IN (", key_tables!(), ")) q
             WHERE q.lost > 0"
        ),
    },
];
