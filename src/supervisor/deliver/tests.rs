//! Questions to a core that is away or does not answer.

use std::{cell::Cell, future::pending};

use super::*;

/// A point in time by the clock of the runtime, which these tests pause: pauses cost nothing and are exact.
fn after(patience: Duration) -> Instant {
    (time::Instant::now() + patience).into()
}

/// Asks a core that is away so often before it answers; how often it was asked.
async fn ask(away: usize, retryable: bool, patience: Duration) -> (Result<(), CoreError>, usize) {
    let asked = Cell::new(0);
    let error = || CoreError { what: "query", status: None, message: "refused".into(), retryable };
    let answer = attempt(after(patience), || {
        asked.set(asked.get() + 1);
        let answer = if asked.get() > away { Ok(()) } else { Err(error()) };
        async { answer }
    });
    let answer = answer.await;
    (answer, asked.get())
}

#[tokio::test(start_paused = true)]
async fn a_core_that_is_away_for_a_while_is_asked_until_the_deadline() {
    let long = Duration::from_secs(60);
    assert_eq!(ask(4, true, long).await, (Ok(()), 5));
    let (answer, asked) = ask(usize::MAX, true, Duration::from_millis(500)).await;
    // At once, after 100 to 200 ms, and after 200 to 400 more; the next pause is 400 at least.
    assert!(answer.is_err() && (2..=3).contains(&asked), "{asked}");
    assert_eq!(ask(1, false, long).await.1, 1, "what cannot change is not asked again");
}

#[tokio::test(start_paused = true)]
async fn a_core_that_does_not_answer_is_not_waited_for_beyond_the_deadline() {
    let (began, patience) = (time::Instant::now(), Duration::from_secs(50));
    let answer: Result<(), CoreError> = within(after(patience), "question", pending()).await;
    assert!(answer.is_err_and(|error| error.to_string().contains("deadline")));
    assert!(began.elapsed() >= patience);
}
