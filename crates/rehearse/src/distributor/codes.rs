//! The codes by which the rig's things are found again in Odoo. All begin with [`PREFIX`], so they are told
//! from whatever else an environment holds, and an `ir.config_parameter` says which plan they are of.

/// How codes of the rig begin.
pub const PREFIX: &str = "SPR";
/// Key of the parameter that says what was loaded.
pub const PARAMETER: &str = "springtide.rehearse.loaded";

/// Code of a product, from 0.
pub fn product(number: u32) -> String {
    format!("{PREFIX}-{number:06}")
}

/// Its EAN-13, from the range that shops use inside their walls.
pub fn barcode(number: u32) -> String {
    let digits = format!("29{number:010}");
    let sum: u32 = digits.bytes().enumerate().map(|(at, digit)| u32::from(digit - b'0') * [1, 3][at % 2]).sum();
    format!("{digits}{}", (10 - sum % 10) % 10)
}

/// Reference of a customer.
pub fn customer(number: u32) -> String {
    format!("{PREFIX}-C{number:05}")
}

/// Reference of a vendor.
pub fn vendor(number: u32) -> String {
    format!("{PREFIX}-V{number:04}")
}

/// Code of a warehouse; at most five characters, which is Odoo's limit.
pub fn warehouse(number: u32) -> String {
    format!("{PREFIX}{number:02}")
}

/// Barcode of a bin.
pub fn bin(warehouse: u32, number: u32) -> String {
    format!("{PREFIX}-B{warehouse:02}-{number:04}")
}

/// Name of a bin as people read it: aisle, rack, level.
pub fn bin_name(number: u32) -> String {
    let (aisle, rack, level) = (number / 40, number / 4 % 10, number % 4);
    format!("{:02}-{:02}-{}", aisle + 1, rack + 1, ['A', 'B', 'C', 'D'][level as usize])
}

/// Barcode of the place of a warehouse where scanned goods go.
pub fn face(warehouse: u32) -> String {
    format!("{PREFIX}-F{warehouse:02}")
}

/// Key of an order or a purchase of the plan.
pub fn planned(kind: &str, number: u32) -> String {
    format!("{PREFIX}-{kind}{number:05}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_barcode_is_a_whole_ean_13() {
        // 4006381333931 is the textbook's; its check digit by the same rule.
        for number in [0, 7, 99_999] {
            let code = barcode(number);
            assert_eq!(code.len(), 13);
            let sum: u32 = code.bytes().enumerate().map(|(at, digit)| u32::from(digit - b'0') * [1, 3][at % 2]).sum();
            assert_eq!(sum % 10, 0, "{code}");
        }
        assert_ne!(barcode(1), barcode(10));
    }

    #[test]
    fn bins_have_names_of_their_own() {
        let names: std::collections::BTreeSet<_> = (0..1_500).map(bin_name).collect();
        assert_eq!(names.len(), 1_500);
        assert_eq!(bin_name(45), "02-02-B");
    }
}
