//! Clock skew between this machine and the services.
//!
//! Signatures contain the time, and a service rejects one that is some minutes off. If clock skew may be the reason,
//! the response's time is compared with this machine's, and from then on all requests are signed with the service's
//! time. Lifetimes of credentials are not measured with this clock.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime},
};

use aws_smithy_async::time::TimeSource;
use aws_smithy_types::{DateTime, date_time::Format};

use crate::engine::{CallError, CallErrorKind};

/// The difference in seconds below which a service accepts signatures.
pub(crate) const TOLERANCE: i64 = 240;

/// Differences are rounded to whole seconds.
const HALF: Duration = Duration::from_millis(500);

/// How far the services' clock is ahead of this machine's, in seconds. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Clock(Arc<AtomicI64>);

impl TimeSource for Clock {
    fn now(&self) -> SystemTime {
        shifted(SystemTime::now(), self.ahead())
    }
}

impl Clock {
    /// Returns how far the services are ahead, in seconds, as far as that is known.
    pub(super) fn ahead(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Corrects the clock after a rejected signature, and returns whether the call is worth another attempt: it was
    /// signed with a time that was `ahead` of this machine's, and the service's time differs from it.
    pub(super) fn correct(&self, error: &CallError, date: Option<SystemTime>, ahead: i64) -> bool {
        let Some(measured) = date.filter(|_| may_be_skew(error)).map(|date| difference(date, SystemTime::now())) else {
            return false;
        };
        if (measured - ahead).abs() < TOLERANCE {
            return false;
        }
        if self.0.swap(measured, Ordering::Relaxed) != measured {
            tracing::warn!("the clock of this machine is {}; signing with the time of AWS", Off(measured));
        }
        true
    }

    /// Adds the skew to the message of an error that it may have caused.
    pub(super) fn explain(&self, mut error: CallError) -> CallError {
        let ahead = self.ahead();
        if ahead.abs() >= TOLERANCE && error.kind != CallErrorKind::Denied && may_be_skew(&error) {
            error.message = format!("{}; the clock of this machine is {}", error.message, Off(ahead)).into();
        }
        error
    }
}

/// Returns whether a signature with a wrong time can be the cause. Some services report it as denied access.
fn may_be_skew(error: &CallError) -> bool {
    matches!(error.kind, CallErrorKind::Credentials | CallErrorKind::Denied)
}

/// Parses a `Date` header.
pub(crate) fn date(header: &str) -> Option<SystemTime> {
    SystemTime::try_from(DateTime::from_str(header, Format::HttpDate).ok()?).ok()
}

/// Returns how far `date` is after `now`, in seconds.
pub(crate) fn difference(date: SystemTime, now: SystemTime) -> i64 {
    let seconds = |duration: Duration| i64::try_from((duration + HALF).as_secs()).unwrap_or(i64::MAX);
    date.duration_since(now).map_or_else(|error| -seconds(error.duration()), seconds)
}

fn shifted(time: SystemTime, by: i64) -> SystemTime {
    let amount = Duration::from_secs(by.unsigned_abs());
    let shifted = if by < 0 { time.checked_sub(amount) } else { time.checked_add(amount) };
    shifted.unwrap_or(time)
}

/// The skew of this machine's clock, as users read it.
pub(crate) struct Off(
    /// How far the services are ahead, in seconds.
    pub(crate) i64,
);

impl fmt::Display for Off {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = if self.0 > 0 { "behind" } else { "ahead of" };
        write!(f, "{} s {direction} that of AWS", self.0.unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: &str, status: u16) -> CallError {
        super::super::error::reported(code, status, "no")
    }

    fn service_time(ahead: i64) -> Option<SystemTime> {
        Some(shifted(SystemTime::now(), ahead))
    }

    #[test]
    fn errors_with_clock_skew_are_retried_once() {
        for (code, ahead) in [("RequestExpired", -3600), ("AuthFailure", 3600), ("SignatureDoesNotMatch", 900)] {
            let (clock, error) = (Clock::default(), refused(code, 403));
            assert!(clock.correct(&error, service_time(ahead), 0), "{code}");
            assert!((clock.ahead() - ahead).abs() <= 1, "{}", clock.ahead());
            assert!((difference(clock.now(), SystemTime::now()) - ahead).abs() <= 1);
            assert!(!clock.correct(&error, service_time(ahead), clock.ahead()), "{code}");
            // Another call was signed before the correction.
            assert!(clock.correct(&error, service_time(ahead), 0), "{code}");
        }
    }

    #[test]
    fn other_errors_and_small_skew_change_nothing() {
        for (error, date) in [
            (refused("RequestExpired", 400), service_time(200)),
            (refused("RequestExpired", 400), None),
            (refused("Throttling", 400), service_time(3600)),
            (refused("InternalError", 500), service_time(3600)),
        ] {
            let clock = Clock::default();
            assert!(!clock.correct(&error, date, 0), "{error}");
            assert_eq!(clock.ahead(), 0);
            assert_eq!(clock.explain(error.clone()), error);
        }
    }

    #[test]
    fn rejected_signature_names_clock_skew() {
        let clock = Clock::default();
        clock.correct(&refused("RequestExpired", 400), service_time(-3605), 0);
        let message = clock.explain(refused("RequestExpired", 400)).message;
        assert!(message.starts_with("no; the clock of this machine is 360"), "{message}");
        assert!(message.ends_with(" s ahead of that of AWS"), "{message}");
        assert_eq!(clock.explain(refused("AccessDenied", 403)).message.as_ref(), "no");
    }
}
