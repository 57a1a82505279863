//! Calls of the official crates: retries, and the clock of the services.

use std::{
    error::Error,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime},
};

use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{Intercept, context::BeforeDeserializationInterceptorContextRef},
        orchestrator::HttpResponse,
        result::SdkError,
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::{config_bag::ConfigBag, error::metadata::ProvideErrorMetadata};
use tokio::time::Instant;

use super::client::{
    clock::{self, TOLERANCE},
    error,
};
use crate::engine::{
    CallErrorKind,
    causes::{is_unknown_host, is_untrusted},
};

/// How long a call is retried beyond the few attempts of the official crates. Plans and units are retried as a whole
/// too.
const RETRY: Duration = Duration::from_secs(20);

/// The longest pause between two attempts.
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// Sends a request until it succeeds, fails permanently, or the time is over. All attempts must use the same client,
/// which measures the service's time with each response.
pub(crate) async fn insist<T, E, F>(send: impl Fn() -> F) -> Result<T, SdkError<E, HttpResponse>>
where
    E: Error + ProvideErrorMetadata + 'static,
    F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
{
    let began = Instant::now();
    let mut is_corrected = false;
    loop {
        let error = match send().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if !is_corrected
            && clock_difference(&error).is_some()
            && refused_kind(&error) == Some(CallErrorKind::Credentials)
        {
            is_corrected = true;
            continue;
        }
        if !may_pass(&error) || began.elapsed() >= RETRY {
            return Err(error);
        }
        tokio::time::sleep(MAX_PAUSE.mul_f64(fastrand::f64())).await;
    }
}

/// Returns the meaning of an error's code; `None` if there is no code, or something else failed.
fn refused_kind<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<CallErrorKind> {
    let SdkError::ServiceError(answer) = error else { return None };
    Some(error::kind(answer.err().code()?, answer.raw().status().as_u16()))
}

/// Returns whether another attempt may succeed. A timeout has used its time already, and a closed port, an unknown host
/// or an untrusted certificate has had a few attempts.
fn may_pass<E: Error + ProvideErrorMetadata + 'static>(error: &SdkError<E, HttpResponse>) -> bool {
    match error {
        SdkError::ServiceError(_) => refused_kind(error).is_none_or(CallErrorKind::is_transient),
        SdkError::ResponseError(_) => true,
        SdkError::DispatchFailure(failed) => {
            failed.is_io() && !is_refused(error) && !is_unknown_host(error) && !is_untrusted(error)
        }
        _ => false,
    }
}

/// Returns whether the connection was refused.
fn is_refused(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| Error::source(*error)).any(|cause| {
        let io = cause.downcast_ref::<std::io::Error>();
        io.is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused)
    })
}

/// Returns how far the service's clock is ahead of this machine's, in seconds, if that invalidates a signature.
pub(crate) fn clock_difference<E>(error: &SdkError<E, HttpResponse>) -> Option<i64> {
    let SdkError::ServiceError(answer) = error else { return None };
    let ahead = clock::difference(clock::date(answer.raw().headers().get("date")?)?, SystemTime::now());
    (ahead.abs() >= TOLERANCE).then_some(ahead)
}

/// Records how far the service's clock is ahead of this machine's.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServiceTime(Arc<AtomicI64>);

impl ServiceTime {
    /// Converts a service's time in seconds since 1970 to this machine's clock.
    pub(crate) fn here(&self, there: i64) -> i64 {
        there.saturating_sub(self.0.load(Ordering::Relaxed))
    }
}

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for ServiceTime {
    fn name(&self) -> &'static str {
        "ServiceTime"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(date) = context.response().headers().get("date").and_then(clock::date) {
            self.0.store(clock::difference(date, SystemTime::now()), Ordering::Relaxed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::sync::atomic::AtomicU32;

    use aws_smithy_runtime_api::client::result::ConnectorError;
    use aws_smithy_types::{DateTime, body::SdkBody, date_time::Format, error::ErrorMetadata};

    use super::*;

    type Failed = SdkError<ErrorMetadata, HttpResponse>;

    fn answered(status: u16, code: Option<&str>, ahead: i64) -> Failed {
        let mut answer = HttpResponse::new(status.try_into().unwrap(), SdkBody::empty());
        let now = DateTime::from(SystemTime::now()).secs();
        answer.headers_mut().insert("date", DateTime::from_secs(now + ahead).fmt(Format::HttpDate).unwrap());
        let error = ErrorMetadata::builder();
        SdkError::service_error(if let Some(code) = code { error.code(code) } else { error }.build(), answer)
    }

    fn unconnected(kind: std::io::ErrorKind, text: &'static str) -> Failed {
        SdkError::dispatch_failure(ConnectorError::io(Box::new(std::io::Error::new(kind, text))))
    }

    /// Returns the number of calls that fail like this, and the seconds they take.
    async fn insisted(error: impl Fn() -> Failed) -> (u32, u64) {
        let (made, began) = (AtomicU32::new(0), Instant::now());
        let result: Result<(), Failed> = insist(|| {
            made.fetch_add(1, Ordering::Relaxed);
            std::future::ready(Err(error()))
        })
        .await;
        assert!(result.is_err());
        (made.into_inner(), began.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn transient_errors_are_retried_for_a_time() {
        use std::io::ErrorKind::{ConnectionReset, Other};
        let temporary = "failed to lookup address information: Temporary failure in name resolution";
        let transient: [&dyn Fn() -> Failed; 5] = [
            &|| answered(400, Some("Throttling"), 0),
            &|| answered(503, Some("ServiceUnavailable"), 0),
            &|| answered(200, None, 0),
            &|| unconnected(ConnectionReset, "reset"),
            &|| unconnected(Other, temporary),
        ];
        for (at, error) in transient.into_iter().enumerate() {
            let (made, seconds) = insisted(error).await;
            assert!(made > 10 && (20..23).contains(&seconds), "{at}: {made} in {seconds} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn other_errors_are_final_at_once() {
        use std::io::ErrorKind::{ConnectionRefused, Other};
        let unknown = "failed to lookup address information: Name or service not known";
        let permanent: [&dyn Fn() -> Failed; 6] = [
            &|| answered(403, Some("AccessDenied"), 0),
            &|| answered(400, Some("AWSOrganizationsNotInUseException"), 0),
            &|| answered(403, Some("ExpiredToken"), 100),
            &|| unconnected(ConnectionRefused, "refused"),
            &|| unconnected(Other, unknown),
            &|| unconnected(Other, "invalid peer certificate: UnknownIssuer"),
        ];
        for (at, error) in permanent.into_iter().enumerate() {
            assert_eq!(insisted(error).await, (1, 0), "{at}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn request_with_clock_skew_is_retried_once() {
        for code in ["RequestExpired", "SignatureDoesNotMatch"] {
            assert_eq!(insisted(|| answered(403, Some(code), -3600)).await, (2, 0), "{code}");
        }
    }

    #[test]
    fn times_of_the_service_are_shown_by_this_clock() {
        let time = ServiceTime(Arc::new(AtomicI64::new(-3600)));
        assert_eq!(time.here(1000), 4600);
        assert_eq!(ServiceTime::default().here(1000), 1000);
    }
}
