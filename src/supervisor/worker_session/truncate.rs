//! Truncates the texts of a worker on receipt, so that messages stay readable and small.

use worker_proto::{Failure, Gap, Outcome, Plan};

/// The largest length of a message, in bytes.
const MAX_MESSAGE: usize = 4096;
/// The largest length of the name of an account, region, service, operation or error code, in bytes.
const MAX_NAME: usize = 256;
/// The most texts that are kept of what an operation removed: a hundred, and how many there are beyond.
const MAX_REMOVED: usize = 101;
/// The most fields that are kept of those that an operation changed.
const MAX_CHANGED: usize = 16;

fn cut(text: String, most: usize) -> String {
    // A new one, as the old one keeps its memory.
    if text.len() > most { [&text[..text.floor_char_boundary(most)], "…"].concat() } else { text }
}

pub(super) fn message(text: String) -> String {
    cut(text, MAX_MESSAGE)
}

pub(super) fn gap(gap: Gap) -> Gap {
    Gap {
        account: cut(gap.account, MAX_NAME),
        region: cut(gap.region, MAX_NAME),
        service: cut(gap.service, MAX_NAME),
        operation: cut(gap.operation, MAX_NAME),
        code: cut(gap.code, MAX_NAME),
        message: cut(gap.message, MAX_MESSAGE),
    }
}

/// The memory that a gap takes, in bytes.
pub(super) fn gap_bytes(gap: &Gap) -> usize {
    let texts = [&gap.account, &gap.region, &gap.service, &gap.operation, &gap.code, &gap.message];
    size_of::<Gap>() + texts.iter().map(|text| text.len()).sum::<usize>()
}

pub(super) fn failure(failure: Failure) -> Failure {
    Failure { kind: failure.kind, message: cut(failure.message, MAX_MESSAGE) }
}

pub(super) fn outcome(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Done => Outcome::Done,
        Outcome::Nothing(why) => Outcome::Nothing(cut(why, MAX_MESSAGE)),
        Outcome::Failed(failed) => Outcome::Failed(failure(failed)),
        Outcome::Detached(removed) => {
            Outcome::Detached(removed.into_iter().take(MAX_REMOVED).map(|text| cut(text, MAX_NAME)).collect())
        }
        Outcome::Changed(fields) => {
            // A part of a value is another value.
            let fits = |(field, value): &(String, String)| field.len() <= MAX_NAME && value.len() <= MAX_MESSAGE;
            Outcome::Changed(fields.into_iter().filter(fits).take(MAX_CHANGED).collect())
        }
    }
}

/// Ids, kinds and payloads of units are no texts for people and stay whole; one frame has room for all of them.
pub(super) fn plan(plan: Plan) -> Plan {
    let units = plan.units.into_iter().map(|mut unit| {
        unit.label = cut(unit.label, MAX_NAME);
        unit
    });
    Plan { units: units.collect(), gaps: plan.gaps.into_iter().map(gap).collect(), is_whole: plan.is_whole }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_fields_are_kept_whole_or_not_at_all() {
        let field = |name: usize, value: usize| ("n".repeat(name), "v".repeat(value));
        let fields = vec![field(1, MAX_MESSAGE + 1), field(MAX_NAME + 1, 1), field(MAX_NAME, MAX_MESSAGE)];
        let expected = Outcome::Changed(vec![field(MAX_NAME, MAX_MESSAGE)]);
        assert_eq!(outcome(Outcome::Changed(fields)), expected);
        let many = outcome(Outcome::Changed(vec![field(1, 1); 100]));
        assert_eq!(many, Outcome::Changed(vec![field(1, 1); MAX_CHANGED]));
    }

    #[test]
    fn texts_are_truncated_at_characters_and_free_memory() {
        let long = Gap {
            account: "ä".repeat(1000),
            region: "us-east-1".into(),
            service: "s".repeat(300),
            operation: String::new(),
            code: String::new(),
            message: "m".repeat(1 << 20),
        };
        let short = gap(long);
        assert_eq!((short.region.as_str(), short.service.len()), ("us-east-1", MAX_NAME + "…".len()));
        assert!(short.account.ends_with("ä…"), "{}", short.account);
        assert!(short.message.capacity() < 2 * MAX_MESSAGE);
        assert!(gap_bytes(&short) < 2 * MAX_MESSAGE);
    }
}
