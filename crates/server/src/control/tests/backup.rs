//! Backups from the first minute, in a world in memory: the order of the steps, what a failure leaves, and an
//! environment that is filled from a restore.

use springtide_core::backup::{RepoKey, Target};
use springtide_core::observe::Seed;
use springtide_core::workload::{SecretName, SecretRef};

use super::*;

const REPOSITORY: &str = "prepare the repository of its backups";

fn steps_of(control: &Control, operation: u64) -> Vec<(String, bool)> {
    let steps = control.estate().store.steps(operation).unwrap();
    steps.into_iter().map(|step| (step.title, step.error.is_none())).collect()
}

#[tokio::test]
async fn what_cannot_be_archived_is_told_and_done_by_the_next_try() {
    let rig = Rig::new("repository", TWO);
    let control = rig.server();
    rig.driver.fail_next("task repository-prod", "the bucket is away");
    let plan = control.refresh().await.unwrap().plan.id.clone();
    control.approve(&plan, None, "me").await.unwrap();
    control.idle().await;
    let (prod, shop) = ("prod".parse().unwrap(), "shop".parse().unwrap());
    assert!(!rig.world.has_repository(&prod));
    assert!(rig.pid("prod/postgres").await.is_some(), "its database serves all the same");
    let operations = control.estate().store.operations(10).unwrap();
    let of_prod = operations.iter().find(|it| it.environment.as_deref() == Some("prod")).unwrap();
    let steps = steps_of(&control, of_prod.id);
    assert_eq!(steps.last(), Some(&(REPOSITORY.to_owned(), false)), "{steps:?}");
    assert_eq!(steps[steps.len() - 2].0, "run prod/postgres", "as soon as there is something to archive");

    approve_all(&control).await;
    assert!(rig.world.has_repository(&prod) && !rig.world.has_repository(&shop), "production only");
    let seen = control.refresh().await.unwrap();
    assert!(seen.plan.is_empty());
    let of = |name, environment: Option<&EnvironmentName>| SecretRef { environment: environment.cloned(), name };
    assert!(seen.seen.secrets.contains(&of(SecretName::BackupCipher, Some(&prod))));
    assert!(seen.seen.secrets.contains(&of(SecretName::ProofKey, None)));
    assert!(!seen.seen.secrets.contains(&of(SecretName::FilesKey, Some(&shop))));
}

#[tokio::test]
async fn another_place_is_prepared_and_nobody_is_interrupted() {
    let rig = Rig::new("place", TWO);
    let control = up(&rig).await;
    let before = rig.pid("prod/postgres").await;
    let stores = "stores: [{ name: far-away, endpoint: \"https://far.example\", credentials: /etc/keys }]\n";
    let text = TWO.replace("stage: production", "stage: production, backup: { far: s3://far-away }");
    rig.declare(&format!("{text}{stores}"));
    let operations = approve_all(&control).await;
    let titles: Vec<_> = steps_of(&control, operations[0]).into_iter().map(|(title, _)| title).collect();
    assert_eq!(titles, ["run prod/postgres", REPOSITORY, "ask for the login page"]);
    assert!(before.is_some() && control.refresh().await.unwrap().plan.is_empty());
}

#[tokio::test]
async fn an_environment_from_a_restore_needs_no_template_and_ends_like_others() {
    let rig = Rig::new("seed", TWO);
    let control = up(&rig).await;
    let back = "back".parse().unwrap();
    let seed = |from: &str| Seed {
        from: from.parse().unwrap(),
        repo: RepoKey::Near,
        set: "20261124-030000F".parse().unwrap(),
        target: Target::Lsn("0/3000060".parse().unwrap()),
        neutralise: false,
    };
    let epoch = control.estate().store.newest_epoch().unwrap().unwrap().epoch;
    control.estate().store.sow(epoch, &back, &seed("prod")).unwrap();
    rig.declare(&format!("{TWO}  - {{ name: back, stage: staging }}\n"));
    approve_all(&control).await;
    let operations = control.estate().store.operations(10).unwrap();
    let of_back = operations.iter().find(|it| it.environment.as_deref() == Some("back")).unwrap();
    let titles: Vec<_> = steps_of(&control, of_back.id).into_iter().map(|(title, _)| title).collect();
    let at = |word: &str| {
        titles.iter().position(|title| title.starts_with(word)).unwrap_or_else(|| panic!("{word}: {titles:?}"))
    };
    assert!(at("restore prod from its near set 20261124-030000F up to 0/3000060") < at("run back/postgres"));
    assert!(at("run back/postgres") < at("configure the database"), "it bears another name and address");
    assert!(!titles.iter().any(|title| title.contains("template")), "{titles:?}");
    assert!(control.refresh().await.unwrap().plan.is_empty());
}
