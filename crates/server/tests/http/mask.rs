//! What is told holds no secret, also none that was written anew while the server runs.

use std::sync::Arc;
use std::time::Duration;

use springtide_core::workload::{SecretName, SecretRef};
use springtide_server::http::App;

use crate::rig::{Rig, now, wide};

#[tokio::test]
async fn a_secret_that_is_written_anew_is_masked_from_then_on() {
    let rig = Rig::new().await;
    let app = App::new(Arc::clone(&rig.control), Arc::new(now), wide(), None);
    let key = SecretRef { environment: Some("prod".parse().unwrap()), name: SecretName::SessionsKeys };
    let secrets = &rig.control.estate().secrets;
    let log = "before-the-rotation and after-the-rotation";
    secrets.put(&key, &"before-the-rotation".to_owned().into()).unwrap();
    assert_eq!(app.mask().await.apply(log), "******** and after-the-rotation");
    // Old enough to be kept: then it is not made for every request.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let kept = app.mask().await;
    assert!(Arc::ptr_eq(&kept, &app.mask().await));
    secrets.put(&key, &"after-the-rotation".to_owned().into()).unwrap();
    assert_eq!(app.mask().await.apply(log), "before-the-rotation and ********");
    // At once again, so that both changes may carry the same time.
    secrets.put(&key, &"before-the-rotation".to_owned().into()).unwrap();
    assert_eq!(app.mask().await.apply(log), "******** and after-the-rotation");
    secrets.remove(&key).unwrap();
    assert_eq!(app.mask().await.apply(log), log);
}
