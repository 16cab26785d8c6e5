//! Everything a distributor has, as plain values. Pure: same scale, seed and date, same plan.
//!
//! Numbers of products, customers and so on begin at 0 and are names, not ranks: which product is wanted
//! most is drawn from the seed.

use jiff::ToSpan as _;
use jiff::civil::Date;
use rand::RngExt as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, LogNormal, Poisson};

use super::demand::{Abc, Calendar, Weights, source};
use super::scale::Scale;

/// A product.
#[derive(Debug, Clone, PartialEq)]
pub struct Product {
    /// What people call it.
    pub name: String,
    /// Sales price in cents.
    pub price: u32,
    /// What it costs in cents.
    pub cost: u32,
    /// Weight in grams.
    pub weight: u32,
    /// Its vendor.
    pub vendor: u32,
    /// Days until it comes after it was ordered.
    pub lead: u32,
    /// Class by demand.
    pub abc: Abc,
    /// Its bin, the same number in each warehouse that has it.
    pub bin: u32,
}

/// What lies where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stock {
    /// The product.
    pub product: u32,
    /// The warehouse.
    pub warehouse: u32,
    /// The bin in it.
    pub bin: u32,
    /// Pieces.
    pub quantity: u32,
}

/// Pieces of one product in an order or a purchase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// The product.
    pub product: u32,
    /// Pieces.
    pub quantity: u32,
}

/// An order of a customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Who.
    pub customer: u32,
    /// When.
    pub day: Date,
    /// From which warehouse.
    pub warehouse: u32,
    /// What; every product once.
    pub lines: Vec<Line>,
}

/// A purchase that waits for goods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// From whom.
    pub vendor: u32,
    /// For which warehouse.
    pub warehouse: u32,
    /// What; every product once.
    pub lines: Vec<Line>,
}

/// A distributor.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// How much of everything.
    pub scale: Scale,
    /// Where all chance comes from.
    pub seed: u64,
    /// The day after the history.
    pub until: Date,
    /// Products by number.
    pub products: Vec<Product>,
    /// Product on each place of the ranking by demand, the most wanted first.
    pub ranking: Vec<u32>,
    /// Demand by place of the ranking.
    pub ranks: Weights,
    /// Promotions.
    pub calendar: Calendar,
    /// Opening stock.
    pub stock: Vec<Stock>,
    /// Orders that wait for delivery.
    pub open_orders: Vec<Order>,
    /// Purchases that wait for goods.
    pub open_receipts: Vec<Receipt>,
    customers: Weights,
}

impl Plan {
    /// The distributor of a seed on the day `until`.
    pub fn new(scale: Scale, seed: u64, until: Date) -> Self {
        let mut ranking: Vec<u32> = (0..scale.products).collect();
        ranking.shuffle(&mut source(seed, "ranking", 0));
        let ranks = Weights::zipf(scale.products, 1.0);
        let mut products: Vec<Product> = (0..scale.products).map(|number| product(&scale, seed, number)).collect();
        for (rank, number) in ranking.iter().enumerate() {
            let product = &mut products[*number as usize];
            product.abc = Abc::of(&ranks, rank);
            // The most wanted lie in front; further behind many share a bin.
            product.bin = (rank as u32) % scale.bins.max(1);
        }
        let calendar = Calendar::new(seed, until, scale.days);
        let customers = Weights::zipf(scale.customers, 0.7);
        let (stock, open_orders, open_receipts) = (Vec::new(), Vec::new(), Vec::new());
        let mut plan = Self {
            scale,
            seed,
            until,
            products,
            ranking,
            ranks,
            calendar,
            stock,
            open_orders,
            open_receipts,
            customers,
        };
        plan.stock = plan.opening_stock();
        plan.open_orders = plan.newest(scale.open_orders as usize, until);
        plan.open_receipts = (0..scale.open_receipts).map(|number| plan.receipt(number)).collect();
        plan
    }

    /// First day of the history.
    pub fn first_day(&self) -> Date {
        self.until.saturating_sub(i64::from(self.scale.days).days())
    }

    /// Every order of a day, in the order they came. The whole history is these, day by day.
    pub fn orders_of(&self, day: Date) -> Vec<Order> {
        let mut rng = source(self.seed, "orders", day_number(day));
        // Days of the same kind differ, and more than chance alone would make them.
        let luck = LogNormal::new(0.0, 0.12).map_or(1.0, |law| law.sample(&mut rng));
        let mean = f64::from(self.scale.orders_per_day) * self.calendar.factor(day) * luck;
        let count = Poisson::new(mean.max(0.01)).map_or(0.0, |law| law.sample(&mut rng)) as u32;
        (0..count).map(|_| self.order(&mut rng, day)).collect()
    }

    /// Orders that were delivered just before the open ones, the newest last.
    pub fn past_orders(&self) -> Vec<Order> {
        let (open, past) = (self.scale.open_orders as usize, self.scale.past_orders as usize);
        let mut all = self.newest(open + past, self.until);
        all.truncate(all.len().saturating_sub(open));
        all
    }

    /// An order as somebody might make it now; `rng` says which.
    pub fn order(&self, rng: &mut ChaCha8Rng, day: Date) -> Order {
        let customer = self.customers.choose(rng) as u32;
        // Mostly from the first warehouse, where everything is.
        let warehouse = if rng.random_bool(0.75) { 0 } else { rng.random_range(0..self.scale.warehouses.max(1)) };
        let wanted = lines(rng, self.scale.products);
        let mut lines: Vec<Line> = Vec::with_capacity(wanted);
        for _ in 0..wanted {
            let product = self.ranking[self.ranks.choose(rng)];
            let quantity = pieces(rng);
            match lines.iter_mut().find(|line| line.product == product) {
                Some(line) => line.quantity += quantity,
                None => lines.push(Line { product, quantity }),
            }
        }
        let has = |line: &Line| warehouse == 0 || self.products[line.product as usize].abc == Abc::A;
        let warehouse = if lines.iter().all(has) { warehouse } else { 0 };
        Order { customer, day, warehouse, lines }
    }

    /// One of the `count` most wanted products, in proportion to its demand.
    pub fn hot(&self, rng: &mut ChaCha8Rng, count: usize) -> u32 {
        let count = count.clamp(1, self.ranking.len());
        let place = self.ranks.choose(rng);
        // What is beyond is spread over the hot ones: that is what a promotion does.
        self.ranking[if place < count { place } else { place % count }]
    }

    /// The product at this place of the ranking by demand, from 0; beyond its end it begins anew.
    pub fn wanted(&self, place: usize) -> u32 {
        self.ranking[place % self.ranking.len()]
    }

    /// The `count` newest orders before `until`, oldest first.
    fn newest(&self, count: usize, until: Date) -> Vec<Order> {
        let (mut found, mut day) = (Vec::new(), until);
        while found.len() < count && day > self.first_day() {
            day = day.saturating_sub(1.days());
            let mut orders = self.orders_of(day);
            orders.append(&mut found);
            found = orders;
        }
        found.split_off(found.len().saturating_sub(count))
    }

    /// Weeks of demand in the first warehouse, and of the most wanted in all the others.
    fn opening_stock(&self) -> Vec<Stock> {
        let mut rng = source(self.seed, "stock", 0);
        // Mean pieces per day of everything: orders, about three lines each, about three pieces each.
        let daily = f64::from(self.scale.orders_per_day) * 9.0;
        let mut stock = Vec::new();
        for (rank, product) in self.ranking.iter().enumerate() {
            let (abc, bin) = (self.products[*product as usize].abc, self.products[*product as usize].bin);
            let share = self.ranks.share(rank + 1) - self.ranks.share(rank);
            let (weeks, warehouses) = match abc {
                Abc::A => (8.0, self.scale.warehouses.max(1)),
                Abc::B => (12.0, 1),
                Abc::C => (26.0, 1),
            };
            for warehouse in 0..warehouses {
                let mean = daily * share * 7.0 * weeks;
                let quantity = (mean * rng.random_range(0.8..1.3)).ceil() as u32 + 24;
                stock.push(Stock { product: *product, warehouse, bin, quantity });
            }
        }
        stock
    }

    fn receipt(&self, number: u32) -> Receipt {
        let mut rng = source(self.seed, "receipts", number.into());
        let vendor = rng.random_range(0..self.scale.vendors.max(1));
        let of_vendor: Vec<u32> =
            (0..self.scale.products).filter(|number| self.products[*number as usize].vendor == vendor).collect();
        let mut lines: Vec<Line> = Vec::new();
        for _ in 0..rng.random_range(2..=8) {
            let Some(product) = of_vendor.get(rng.random_range(0..of_vendor.len().max(1))).copied() else { break };
            if lines.iter().all(|line| line.product != product) {
                lines.push(Line { product, quantity: 12 * rng.random_range(1..=20) });
            }
        }
        Receipt { vendor, warehouse: 0, lines }
    }
}

fn day_number(day: Date) -> u64 {
    let (year, of_year) =
        (u64::try_from(day.year()).unwrap_or_default(), u64::try_from(day.day_of_year()).unwrap_or_default());
    year * 1_000 + of_year
}

/// Lines of an order: most have one to three, few have many.
fn lines(rng: &mut ChaCha8Rng, products: u32) -> usize {
    let mut count = 1;
    while count < 15 && count < products as usize && rng.random_bool(0.62) {
        count += 1;
    }
    count
}

/// Pieces of a line: one to a few, sometimes a box.
fn pieces(rng: &mut ChaCha8Rng) -> u32 {
    if rng.random_bool(0.06) {
        return 12;
    }
    let mut count = 1;
    while count < 10 && rng.random_bool(0.5) {
        count += 1;
    }
    count
}

fn product(scale: &Scale, seed: u64, number: u32) -> Product {
    const KINDS: [&str; 12] = [
        "Hex bolt",
        "Wood screw",
        "Cable tie",
        "LED tube",
        "Pipe clamp",
        "Ball valve",
        "Work glove",
        "Drill bit",
        "Cutting disc",
        "Hinge",
        "Power strip",
        "Paint roller",
    ];
    const MAKES: [&str; 8] = ["Nordal", "Kestrel", "Brenner", "Alvo", "Tamar", "Ostra", "Velm", "Rigby"];
    let mut rng = source(seed, "product", number.into());
    let price = LogNormal::new(7.0, 1.0).map_or(1_000.0_f64, |law| law.sample(&mut rng)).clamp(50.0, 200_000.0) as u32;
    let margin = rng.random_range(0.18..0.45);
    let kind = KINDS[rng.random_range(0..KINDS.len())];
    let make = MAKES[rng.random_range(0..MAKES.len())];
    Product {
        name: format!("{make} {kind} {}", 100 + rng.random_range(0..900)),
        price,
        cost: (f64::from(price) * (1.0 - margin)) as u32,
        weight: rng.random_range(20..8_000),
        vendor: rng.random_range(0..scale.vendors.max(1)),
        lead: rng.random_range(2..=21),
        abc: Abc::C,
        bin: 0,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::civil::{Weekday, date};
    use proptest::prelude::*;

    use super::super::Size;
    use super::*;

    const UNTIL: Date = date(2026, 11, 23);

    fn small(seed: u64) -> Plan {
        let scale = Scale { products: 120, customers: 20, past_orders: 10, open_orders: 5, ..Scale::of(Size::S) };
        Plan::new(scale, seed, UNTIL)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn same_seed_same_plan_and_another_seed_another(seed in any::<u64>()) {
            let plan = small(seed);
            prop_assert_eq!(&plan, &small(seed));
            prop_assert_eq!(plan.past_orders(), small(seed).past_orders());
            prop_assert_ne!(&plan.ranking, &small(seed.wrapping_add(1)).ranking);
        }

        #[test]
        fn every_order_can_be_delivered_from_its_warehouse(seed in any::<u64>()) {
            let plan = small(seed);
            let mut wanted: BTreeMap<(u32, u32), u32> = BTreeMap::new();
            for order in plan.past_orders().iter().chain(&plan.open_orders) {
                prop_assert!(!order.lines.is_empty());
                prop_assert!(order.customer < plan.scale.customers);
                for line in &order.lines {
                    *wanted.entry((order.warehouse, line.product)).or_default() += line.quantity;
                }
            }
            for ((warehouse, product), pieces) in wanted {
                let there: u32 = plan.stock.iter()
                    .filter(|stock| stock.warehouse == warehouse && stock.product == product)
                    .map(|stock| stock.quantity).sum();
                prop_assert!(there >= pieces, "{product} in {warehouse}: {there} of {pieces}");
            }
        }
    }

    #[test]
    fn two_years_have_the_week_the_year_and_the_promotions() {
        let plan = Plan::new(Scale::of(Size::S), 7, UNTIL);
        let mut day = plan.first_day();
        let (mut week, mut december, mut august) = ([0_usize; 7], Vec::new(), Vec::new());
        let (mut lifted, mut plain, mut pieces) = (Vec::new(), Vec::new(), vec![0_u64; 1_000]);
        while day < plan.until {
            let orders = plan.orders_of(day);
            week[usize::from(day.weekday().to_monday_zero_offset() as u8)] += orders.len();
            match day.month() {
                12 if day.day() < 20 => december.push(orders.len()),
                8 => august.push(orders.len()),
                _ => {}
            }
            if day.weekday() == Weekday::Tuesday && (day.month() < 10) {
                let factor = plan.calendar.promotion(day);
                if factor > 1.0 { lifted.push(orders.len()) } else { plain.push(orders.len()) }
            }
            for line in orders.iter().flat_map(|order| &order.lines) {
                pieces[line.product as usize] += u64::from(line.quantity);
            }
            day = day.tomorrow().unwrap();
        }
        let mean = |all: &[usize]| all.iter().sum::<usize>() as f64 / all.len() as f64;
        assert!(week[0] > 3 * week[6] && week[4] > 2 * week[5], "{week:?}");
        assert!(mean(&december) > 1.5 * mean(&august), "{} {}", mean(&december), mean(&august));
        assert!(mean(&lifted) > 1.25 * mean(&plain), "{} {}", mean(&lifted), mean(&plain));
        pieces.sort_unstable_by(|a, b| b.cmp(a));
        let (top, all) = (pieces[..200].iter().sum::<u64>() as f64, pieces.iter().sum::<u64>() as f64);
        assert!((0.70..0.90).contains(&(top / all)), "a fifth has {:.2}", top / all);
        let orders: usize = week.iter().sum();
        assert!((24_000..45_000).contains(&orders), "{orders} orders in two years");
    }

    #[test]
    fn sizes_have_their_counts_and_the_wanted_lie_in_front() {
        for (size, products) in [(Size::S, 1_000), (Size::M, 20_000)] {
            let plan = Plan::new(Scale::of(size), 1, UNTIL);
            assert_eq!(plan.products.len(), products);
            assert_eq!(plan.products[plan.ranking[0] as usize].bin, 0);
            assert_eq!(plan.open_orders.len(), plan.scale.open_orders as usize);
            assert!(plan.open_receipts.iter().all(|receipt| !receipt.lines.is_empty()));
            let a = plan.products.iter().filter(|product| product.abc == Abc::A).count();
            assert!((products / 10..products * 3 / 10).contains(&a), "{a} of {products} are A");
        }
    }
}
