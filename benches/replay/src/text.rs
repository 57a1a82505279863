//! Templates of responses, and the normalised form of requests: account, region, resource IDs and moments replaced.

use crate::ids::{Form, Id, Ids, Place};

/// A piece of a recorded text.
#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Text(Box<[u8]>),
    Account,
    Region,
    Id(Id),
}

/// The names that a response or a request has for its account and region.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names<'a> {
    /// The account ID, twelve digits.
    pub(crate) account: &'a str,
    /// The name of the region.
    pub(crate) region: &'a str,
}

/// A part of a text, found by [`next`].
enum Found<'t> {
    Account,
    Region,
    Id(&'t [u8], Form),
    Other(&'t [u8]),
}

/// Returns the next part of `text` at `at`, and its end: a region, a run of letters and digits, or the text between.
fn next<'t>(text: &'t [u8], at: usize, names: Names<'_>) -> (Found<'t>, usize) {
    let rest = &text[at..];
    if rest.starts_with(names.region.as_bytes()) {
        return (Found::Region, at + names.region.len());
    }
    let is_word = rest.first().is_some_and(u8::is_ascii_alphanumeric);
    let length = rest.iter().position(|byte| byte.is_ascii_alphanumeric() != is_word).unwrap_or(rest.len());
    let part = &rest[..length];
    let found = match Form::of(part) {
        _ if part == names.account.as_bytes() => Found::Account,
        Some(form) => Found::Id(part, form),
        None => Found::Other(part),
    };
    (found, at + length)
}

/// A recorded response, split where it depends on account and region.
#[derive(Debug, Default)]
pub(crate) struct Template {
    pieces: Vec<Piece>,
    /// The length of the recorded text.
    length: usize,
}

impl Template {
    /// Splits a recorded text. Returns `None` if there are more IDs than can be distinguished.
    pub(crate) fn new(text: &str, names: Names<'_>, ids: &mut Ids) -> Option<Self> {
        let mut pieces = Vec::new();
        let mut plain = Vec::new();
        let mut at = 0;
        while at < text.len() {
            let (found, end) = next(text.as_bytes(), at, names);
            let before = &text.as_bytes()[..at];
            at = end;
            let piece = match found {
                Found::Other(part) => {
                    plain.extend_from_slice(part);
                    continue;
                }
                Found::Account => Piece::Account,
                Found::Region => Piece::Region,
                Found::Id(token, form) if form.is_id(token, before) => Piece::Id(ids.add(token, form)?),
                Found::Id(token, _) => {
                    plain.extend_from_slice(token);
                    continue;
                }
            };
            if !plain.is_empty() {
                pieces.push(Piece::Text(plain.as_slice().into()));
                plain.clear();
            }
            pieces.push(piece);
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain.into()));
        }
        Some(Self { pieces, length: text.len() })
    }

    /// Returns the text for an account and region.
    pub(crate) fn render(&self, ids: &Ids, place: Place, names: Names<'_>) -> Vec<u8> {
        // A region may have a longer name than the recorded one.
        let mut out = Vec::with_capacity(self.length + self.length / 8 + 64);
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Account => out.extend_from_slice(names.account.as_bytes()),
                Piece::Region => out.extend_from_slice(names.region.as_bytes()),
                Piece::Id(id) => ids.write(*id, place, &mut out),
            }
        }
        out
    }
}

/// The placeholder of a moment.
const MOMENT: &[u8] = b"MOMENT";
/// The JSON members that hold a moment as a number.
const MOMENTS: [&[u8]; 2] = [b"StartTime", b"EndTime"];
const ISO_MOMENT: &[u8; 19] = b"dddd-dd-ddTdd:dd:dd";

/// Appends a text of a request in the form that is the same for all accounts, regions and times: with the account, the
/// region and the IDs of the recording, and without moments.
///
/// `ids` is `None` for a request of the recording itself.
pub(crate) fn normalise(
    text: &[u8],
    names: Names<'_>,
    recorded: Names<'_>,
    ids: Option<(&Ids, Place)>,
    out: &mut Vec<u8>,
) {
    let mut at = 0;
    while at < text.len() {
        if is_iso_moment(&text[at..]) {
            out.extend_from_slice(MOMENT);
            at += ISO_MOMENT.len();
            continue;
        }
        let (found, end) = next(text, at, names);
        at = end;
        match found {
            Found::Account => out.extend_from_slice(recorded.account.as_bytes()),
            Found::Region => out.extend_from_slice(recorded.region.as_bytes()),
            Found::Id(token, form) => {
                let known = ids.and_then(|(ids, place)| ids.recorded(token, form, place));
                out.extend_from_slice(known.unwrap_or(token));
            }
            Found::Other(part) => {
                out.extend_from_slice(part);
                if MOMENTS.contains(&part) {
                    at += skip_number(&text[at..], out);
                }
            }
        }
    }
}

/// Replaces the number after the name of a JSON member. Returns the length of what was read.
fn skip_number(rest: &[u8], out: &mut Vec<u8>) -> usize {
    let Some(number) = rest.strip_prefix(b"\":") else { return 0 };
    let is_part = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
    let length = number.iter().position(|byte| !is_part(byte)).unwrap_or(number.len());
    out.extend_from_slice(b"\":");
    out.extend_from_slice(MOMENT);
    length + 2
}

fn is_iso_moment(text: &[u8]) -> bool {
    let fits = |(byte, expected): (&u8, &u8)| if *expected == b'd' { byte.is_ascii_digit() } else { byte == expected };
    text.len() >= ISO_MOMENT.len() && text.iter().zip(ISO_MOMENT).all(fits)
}

/// Returns the text without percent encoding. Bytes that are not encoded are kept.
pub(crate) fn percent_decoded(text: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    if !text.contains(&b'%') {
        return text.into();
    }
    let digit = |at: usize| text.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        match (text[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const RECORDED: Names<'_> = Names { account: "123456789012", region: "us-east-1" };
    const OTHER: Names<'_> = Names { account: "200000000007", region: "eu-central-2" };
    const PLACE: Place = Place { account: 7, region: 3 };

    fn normalised(text: &[u8], names: Names<'_>, ids: Option<(&Ids, Place)>) -> String {
        let mut out = Vec::new();
        normalise(text, names, RECORDED, ids, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn rendered_text_leads_back_to_recorded_text() {
        let text = "arn:aws:ec2:us-east-1:123456789012:volume/vol-0ed99d2a244c43314 in us-east-1b, 1635725087, \
                    elb/app/alb-0/d7dd99127988ef7a AIDARZPUZDIKGWEMDXI4 ck-123456789012-b0";
        let mut ids = Ids::default();
        let template = Template::new(text, RECORDED, &mut ids).unwrap();
        let rendered = template.render(&ids, PLACE, OTHER);
        let shown = String::from_utf8(rendered.clone()).unwrap();
        assert!(shown.starts_with("arn:aws:ec2:eu-central-2:200000000007:volume/vol-"), "{shown}");
        assert!(shown.contains(" in eu-central-2b, 1635725087, elb/app/alb-0/"), "{shown}");
        assert!(shown.ends_with(" ck-200000000007-b0"), "{shown}");
        for recorded in ["0ed99d2a244c43314", "d7dd99127988ef7a", "AIDARZPUZDIKGWEMDXI4"] {
            assert!(!shown.contains(recorded), "{shown}");
        }
        assert_eq!(normalised(&rendered, OTHER, Some((&ids, PLACE))), text);
    }

    #[test]
    fn moments_are_all_the_same() {
        let json = br#"{"EndTime":1795796094.5,"Id":"m0","StartTime":1790612094}"#;
        assert_eq!(normalised(json, RECORDED, None), r#"{"EndTime":MOMENT,"Id":"m0","StartTime":MOMENT}"#);
        assert_eq!(
            normalised(b"StartTime=2021-11-01T00:00:07Z&Period=60", RECORDED, None),
            "StartTime=MOMENTZ&Period=60"
        );
    }

    #[test]
    fn percent_encoding_is_undone() {
        assert_eq!(percent_decoded(b"arn%3Aaws%2fx%").as_ref(), b"arn:aws/x%");
        assert_eq!(percent_decoded(b"100%zz").as_ref(), b"100%zz");
        assert_eq!(percent_decoded(b"plain").as_ref(), b"plain");
    }
}
