//! The typed client against a server.

use std::time::Duration;

use springtide_api::{ApproveRequest, Client, ClientError, OperationState};

use crate::rig::Rig;

#[tokio::test]
async fn what_is_asked_is_done_and_told() {
    let rig = Rig::new().await;
    let client = Client::new(&rig.url(""), &rig.token).unwrap();
    assert!(client.health().await.unwrap().ready);
    assert_eq!(client.estate().await.unwrap().name, "acme");
    assert_eq!(client.environment("prod").await.unwrap().summary.name, "prod");
    let plan = client.refresh().await.unwrap();
    let mut events = client.events(None).await.unwrap();
    let asked = ApproveRequest { plan: plan.id.clone(), environments: None };
    let begun = client.approve(&asked, "one").await.unwrap();
    let mut left = begun.operations.clone();
    let mut last = 0;
    while !left.is_empty() {
        let event = tokio::time::timeout(Duration::from_secs(10), events.next()).await.expect("it goes on").unwrap();
        assert!(event.id > last);
        last = event.id;
        if event.kind == "operation-ended" {
            left.retain(|number| Some(*number) != event.operation);
        }
    }
    for number in &begun.operations {
        assert_eq!(client.operation(*number).await.unwrap().operation.state, OperationState::Done);
    }
    assert_eq!(client.approve(&asked, "one").await.unwrap(), begun);
    let Err(ClientError::Refused(problem)) = client.approve(&asked, "two").await else { panic!("it is stale") };
    assert_eq!((problem.status, problem.code.as_str()), (409, "E0801"));
    assert!(client.held().await.unwrap().held.is_none());
    assert_eq!(client.hold("a look").await.unwrap().held.unwrap().by, "a test");
    assert!(client.release().await.unwrap().held.is_none());
    assert_eq!(client.operations().await.unwrap().items.len(), begun.operations.len());
}

#[tokio::test]
async fn who_is_not_let_in_or_not_answered_is_told() {
    let rig = Rig::new().await;
    let stranger = Client::new(&rig.url(""), "st_x_y").unwrap();
    let Err(ClientError::Refused(problem)) = stranger.plan().await else { panic!("no token") };
    assert_eq!(problem.code, "E0930");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = Client::new(&format!("http://{nobody}"), &rig.token).unwrap();
    let error = client.plan().await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable(_)), "{error}");
    assert!(!format!("{error:?}").contains(&rig.token), "{error:?}");
}
