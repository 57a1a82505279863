//! The age of a user's password, which no definition can express.

use time::{Duration, OffsetDateTime, format_description::well_known::Iso8601};

use crate::engine::{FunctionHook, HookContext, HookValue, HookValues, Tree, no_input};

/// The age of the password at the time of the collection, in the notation of the Python worker.
pub(super) static PASSWORD_AGE: FunctionHook = FunctionHook {
    name: "password_age",
    values: &["password_age"],
    kinds: &[],
    collectors: &[],
    parents: &[],
    check: no_input,
    values_of,
};

fn values_of<'a>(context: HookContext<'a>, items: &'a [&'a Tree<'a>]) -> HookValues<'a> {
    let now = context.run.now;
    Box::pin(async move { Ok(items.iter().map(|item| HookValue::known(age(item, now))).collect()) })
}

fn age(item: &Tree<'_>, now: OffsetDateTime) -> Tree<'static> {
    let changed = item.get("password_changed_at").and_then(Tree::text);
    let changed = changed.and_then(|text| OffsetDateTime::parse(text, &Iso8601::PARSING).ok());
    changed.map_or(Tree::Null, |changed| Tree::Text(timedelta(now - changed).into()))
}

/// Returns a duration in the notation of Python: `2156 days, 10:51:38.476260`.
fn timedelta(duration: Duration) -> String {
    let micros = duration.whole_microseconds();
    const DAY: i128 = 86_400_000_000;
    let (days, rest) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
    let (seconds, micros) = (rest / 1_000_000, rest % 1_000_000);
    let days = match days {
        0 => String::new(),
        1 | -1 => format!("{days} day, "),
        _ => format!("{days} days, "),
    };
    let fraction = if micros == 0 { String::new() } else { format!(".{micros:06}") };
    format!("{days}{}:{:02}:{:02}{fraction}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_in_python() {
        for (duration, text) in [
            (Duration::ZERO, "0:00:00"),
            (Duration::milliseconds(1500), "0:00:01.500000"),
            (Duration::days(1) + Duration::hours(2), "1 day, 2:00:00"),
            (Duration::days(2156) + Duration::microseconds(39_098_476_260), "2156 days, 10:51:38.476260"),
            (-Duration::seconds(1), "-1 day, 23:59:59"),
        ] {
            assert_eq!(timedelta(duration), text);
        }
    }
}
