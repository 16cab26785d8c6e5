//! The contract suite, on the fake and on the process driver.

use springtide_core::layout::Slot;
use springtide_driver::contract::{self, Kit};
use springtide_driver::fake::FakeDriver;
use springtide_driver::{Driver, Generation};

use crate::rig::{Driven, murder, variant, with_driver};

#[tokio::test]
async fn fake_keeps_the_contract() {
    let fake = FakeDriver::new();
    let kit = Kit { make: &|word| variant(899, word), kill: &|pid| fake.kill(pid), user: Slot(899).installer() };
    contract::run(&fake, &kit).await;
    fake.fail_next("ensure prod/web", "scripted");
    let one = variant(899, "first");
    assert!(fake.ensure_workload(&one, Generation(20)).await.is_err());
    assert!(fake.ensure_workload(&one, Generation(20)).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn process_driver_keeps_the_contract() {
    with_driver("contract", async |driver: Driven, _| {
        let kit = Kit { make: &|word| variant(900, word), kill: &murder, user: Slot(900).installer() };
        contract::run(&*driver, &kit).await;
    })
    .await;
}
