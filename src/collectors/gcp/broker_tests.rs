//! Which of several credentials are used for a project.

use std::future::ready;

use FailureKind::{Configuration, Credentials as Denied, NoCredentials, Unavailable};

use super::*;

const PROJECT: &str = "p";

fn broker() -> GcpBroker {
    GcpBroker { credentials: Ok(Vec::new()), endpoint: None, seeing: Mutex::default() }
}

fn noted(broker: &GcpBroker) -> Option<usize> {
    broker.seeing.lock().unwrap_or_else(PoisonError::into_inner).get(PROJECT).copied()
}

/// Finds the credentials; `reads` says of each whether it can read the project.
async fn first(broker: &GcpBroker, reads: &[Result<(), FailureKind>]) -> Result<usize, Failure> {
    let read = |(index, read): (usize, &Result<(), FailureKind>)| {
        ready(read.map_err(|kind| Failure { kind, message: format!("failure {index}") }))
    };
    broker.first(PROJECT, reads.iter().enumerate().map(read)).await
}

#[tokio::test]
async fn failure_that_may_pass_is_preferred_over_denials() {
    for (reads, kind, index) in [
        (&[Err(Unavailable), Err(Denied)][..], Unavailable, 0),
        (&[Err(Denied), Err(Unavailable)], Unavailable, 1),
        (&[Err(NoCredentials), Err(Unavailable), Err(Unavailable), Err(Denied)], Unavailable, 1),
        (&[Err(Configuration), Err(Denied)], Denied, 1),
    ] {
        let (broker, message) = (broker(), format!("; one of them: failure {index}"));
        let found = first(&broker, reads).await.map_err(|failure| (failure.kind, failure.message.contains(&message)));
        assert_eq!((found, noted(&broker)), (Err((kind, true)), None), "{reads:?}");
    }
}

#[tokio::test]
async fn credentials_after_failure_that_may_pass_are_not_kept() {
    for failures in [&[Unavailable][..], &[Unavailable, Denied], &[Denied, Unavailable]] {
        let broker = broker();
        let reads: Vec<_> = failures.iter().copied().map(Err).chain([Ok(())]).collect();
        assert_eq!(first(&broker, &reads).await, Ok(failures.len()), "{failures:?}");
        assert_eq!(noted(&broker), None, "{failures:?}");
        // The others respond again.
        assert_eq!(first(&broker, &[Ok(()), Ok(())]).await, Ok(0));
        assert_eq!(noted(&broker), Some(0));
    }
}

#[tokio::test]
async fn credentials_after_denials_are_kept() {
    for denial in [Denied, NoCredentials] {
        let broker = broker();
        assert_eq!(first(&broker, &[Err(denial), Ok(()), Ok(())]).await, Ok(1));
        assert_eq!(noted(&broker), Some(1));
    }
}
