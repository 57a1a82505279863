//! Resource IDs: a bijection between the recorded IDs and those of each account and region.
//!
//! An ID is a token of a fixed length: hexadecimal digits, as in `vol-0abc…`, in a UUID or at the end of an ARN; or
//! upper-case letters and digits, as in `AIDA…`. A recorded token has a number. The token of an account and region is
//! that number, the region and the account in one integer, which is then mixed reversibly so that it looks like an ID.
//! Two accounts never share an ID, and each ID leads back to the recorded ID without a table per account.

use std::collections::HashMap;

/// The place that an ID belongs to, as indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The index of the account.
    pub(crate) account: u32,
    /// The index of the region; 0 for what belongs to an account as a whole.
    pub(crate) region: u16,
}

/// The maximum number of accounts: an ID of eight digits has 15 bits for the account.
pub(crate) const MAX_ACCOUNTS: usize = 1 << 15;
/// The maximum number of regions: an ID of eight digits has 7 bits for the region.
pub(crate) const MAX_REGIONS: usize = 1 << 7;
/// The maximum number of recorded IDs of eight digits.
const MAX_SHORT: usize = 1 << 10;
/// The maximum number of recorded IDs of each other form.
const MAX_LONG: usize = 1 << 16;

/// The form of an ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    /// 8 hexadecimal digits.
    Short,
    /// 16 hexadecimal digits.
    Long,
    /// 17 hexadecimal digits, or lower-case letters and digits in the recording.
    Longer,
    /// 20 upper-case letters and digits, of IAM.
    Unique,
    /// 21 upper-case letters and digits, of IAM.
    LongerUnique,
    /// 20 lower-case letters and digits, as the local AWS has them in IAM.
    LowerUnique,
}

const FORMS: usize = 6;

/// The length of the prefix of an ID of IAM, such as `AIDA`.
const PREFIX: usize = 4;
/// The characters after the prefix, five bits each.
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const LOWER_ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// The characters before them in an ID of 20 lower-case characters.
const LOWER_PREFIX: &[u8; 7] = b"2222222";
/// The prefixes of IDs of IAM; policies of the local AWS have none of them.
const UNIQUE_PREFIXES: [&[u8]; 8] = [b"AGPA", b"AIDA", b"AIPA", b"AKIA", b"ANPA", b"AROA", b"ASCA", b"ASIA"];
/// The characters that 64 bits take.
const MIXED_CHARACTERS: usize = 13;
const HEX: &[u8; 16] = b"0123456789abcdef";

impl Form {
    /// Returns the form of a token, or `None` if no ID has such a form.
    pub(crate) fn of(token: &[u8]) -> Option<Self> {
        let form = match token.len() {
            8 => Self::Short,
            16 => Self::Long,
            17 => Self::Longer,
            20 if token[0].is_ascii_uppercase() => Self::Unique,
            20 => Self::LowerUnique,
            21 => Self::LongerUnique,
            _ => return None,
        };
        let fits = match form {
            Self::Short | Self::Long => token.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')),
            Self::Longer | Self::LowerUnique => token.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'z')),
            Self::Unique | Self::LongerUnique => {
                token[0] == b'A' && token.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
            }
        };
        fits.then_some(form)
    }

    /// Whether a recorded token of this form is an ID; `before` is the text before it. Words and numbers may look like
    /// IDs: digits alone are an ID only after a prefix such as `vol-`, long tokens of letters alone only with
    /// a prefix such as `AKIA`.
    pub(crate) fn is_id(self, token: &[u8], before: &[u8]) -> bool {
        let has_digits = token.iter().any(u8::is_ascii_digit);
        let has_letters = token.iter().any(u8::is_ascii_alphabetic);
        match self {
            Self::Unique | Self::LongerUnique => has_digits || UNIQUE_PREFIXES.contains(&&token[..PREFIX]),
            Self::Longer | Self::LowerUnique if has_letters => has_digits,
            _ => has_letters || matches!(before, [.., letter, b'-'] if letter.is_ascii_lowercase()),
        }
    }

    /// Whether such IDs are the same in all regions of an account.
    fn is_global(self) -> bool {
        matches!(self, Self::Unique | Self::LongerUnique | Self::LowerUnique)
    }

    fn limit(self) -> usize {
        if self == Self::Short { MAX_SHORT } else { MAX_LONG }
    }
}

/// A recorded ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Id {
    form: Form,
    number: u16,
}

/// The recorded IDs, numbered by form.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    known: [Vec<Box<[u8]>>; FORMS],
    numbers: HashMap<Box<[u8]>, Id>,
}

impl Ids {
    /// Numbers a recorded token. Returns `None` if its form has no number left.
    pub(crate) fn add(&mut self, token: &[u8], form: Form) -> Option<Id> {
        if let Some(known) = self.numbers.get(token) {
            return Some(*known);
        }
        let known = &mut self.known[form as usize];
        let number = u16::try_from(known.len()).ok().filter(|_| known.len() < form.limit())?;
        known.push(token.into());
        let id = Id { form, number };
        self.numbers.insert(token.into(), id);
        Some(id)
    }

    /// Returns the number of recorded IDs.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Appends the ID that a place has instead of a recorded ID.
    pub(crate) fn write(&self, id: Id, place: Place, out: &mut Vec<u8>) {
        let region = if id.form.is_global() { 0 } else { place.region };
        match id.form {
            Form::Short => push_hex(u64::from(mix_short(pack_short(id.number, place.account, region))), 8, out),
            Form::Long => push_hex(mix(pack(id.number, place.account, region)), 16, out),
            Form::Longer => {
                out.push(b'0');
                push_hex(mix(pack(id.number, place.account, region)), 16, out);
            }
            Form::Unique | Form::LongerUnique => {
                let recorded = &self.known[id.form as usize][usize::from(id.number)];
                out.extend_from_slice(&recorded[..PREFIX]);
                out.resize(out.len() + recorded.len() - PREFIX - MIXED_CHARACTERS, b'2');
                push_letters(mix(pack(id.number, place.account, region)), ALPHABET, out);
            }
            Form::LowerUnique => {
                out.extend_from_slice(LOWER_PREFIX);
                push_letters(mix(pack(id.number, place.account, region)), LOWER_ALPHABET, out);
            }
        }
    }

    /// Returns the recorded ID of a token at a place, or `None` if the token is no ID of that place.
    pub(crate) fn recorded(&self, token: &[u8], form: Form, place: Place) -> Option<&[u8]> {
        let (number, account, region) = match form {
            Form::Short => unpack_short(unmix_short(u32::try_from(read_hex(token)?).ok()?)),
            Form::Long => unpack(unmix(read_hex(token)?)),
            Form::Longer => unpack(unmix(read_hex(token.strip_prefix(b"0")?)?)),
            Form::Unique | Form::LongerUnique | Form::LowerUnique => {
                unpack(unmix(read_letters(&token[token.len() - MIXED_CHARACTERS..])?))
            }
        };
        let expected = if form.is_global() { 0 } else { place.region };
        let is_here = account == place.account && region == expected;
        self.known[form as usize].get(usize::from(number)).filter(|_| is_here).map(AsRef::as_ref)
    }
}

fn pack(number: u16, account: u32, region: u16) -> u64 {
    u64::from(account) << 32 | u64::from(region) << 16 | u64::from(number)
}

fn unpack(value: u64) -> (u16, u32, u16) {
    ((value & 0xffff) as u16, (value >> 32) as u32, (value >> 16 & 0xffff) as u16)
}

/// 10 bits of the number, 7 of the region, 15 of the account.
fn pack_short(number: u16, account: u32, region: u16) -> u32 {
    account << 17 | u32::from(region) << 10 | u32::from(number)
}

fn unpack_short(value: u32) -> (u16, u32, u16) {
    ((value & 0x3ff) as u16, value >> 17, (value >> 10 & 0x7f) as u16)
}

const FACTORS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9];
const INVERSES: [u64; 2] = [inverse(FACTORS[0]), inverse(FACTORS[1])];
const SHORT_FACTORS: [u32; 2] = [0x9e37_79b1, 0x85eb_ca6b];
const SHORT_INVERSES: [u32; 2] = [inverse(SHORT_FACTORS[0] as u64) as u32, inverse(SHORT_FACTORS[1] as u64) as u32];

/// Returns the inverse of an odd number modulo 2^64; its low half is the inverse modulo 2^32.
const fn inverse(odd: u64) -> u64 {
    // Correct to three bits at first; each step of Newton's method doubles them.
    let mut found = odd;
    let mut bits = 3;
    while bits < 64 {
        found = found.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(found)));
        bits *= 2;
    }
    found
}

fn mix(value: u64) -> u64 {
    value.wrapping_mul(FACTORS[0]).swap_bytes().wrapping_mul(FACTORS[1])
}

fn unmix(value: u64) -> u64 {
    value.wrapping_mul(INVERSES[1]).swap_bytes().wrapping_mul(INVERSES[0])
}

fn mix_short(value: u32) -> u32 {
    value.wrapping_mul(SHORT_FACTORS[0]).swap_bytes().wrapping_mul(SHORT_FACTORS[1])
}

fn unmix_short(value: u32) -> u32 {
    value.wrapping_mul(SHORT_INVERSES[1]).swap_bytes().wrapping_mul(SHORT_INVERSES[0])
}

fn push_hex(value: u64, digits: u32, out: &mut Vec<u8>) {
    out.extend((0..digits).rev().map(|digit| HEX[(value >> (4 * digit) & 0xf) as usize]));
}

fn read_hex(token: &[u8]) -> Option<u64> {
    token.iter().try_fold(0_u64, |value, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u64::from(digit))
    })
}

fn push_letters(value: u64, alphabet: &[u8; 32], out: &mut Vec<u8>) {
    out.extend((0..MIXED_CHARACTERS as u32).rev().map(|at| alphabet[(value >> (5 * at) & 0x1f) as usize]));
}

fn read_letters(token: &[u8]) -> Option<u64> {
    token.iter().try_fold(0_u64, |value, byte| {
        let letter = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a',
            b'2'..=b'7' => byte - b'2' + 26,
            _ => return None,
        };
        Some(value << 5 | u64::from(letter))
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::collections::HashSet;

    use super::*;

    const RECORDED: [&[u8]; 7] = [
        b"1234abcd",
        b"50dc6c495c0c9188",
        b"0ed99d2a244c43314",
        b"1rdz9akmgt2hymz52",
        b"AIDARZPUZDIKGWEMDXI4",
        b"AROARZPUZDIKKOONR3XW2",
        b"28zhmra1b9e0x7ild8j2",
    ];

    #[test]
    fn ids_are_distinct_and_lead_back() {
        let mut ids = Ids::default();
        let all: Vec<_> =
            RECORDED.iter().map(|token| (*token, ids.add(token, Form::of(token).unwrap()).unwrap())).collect();
        let mut seen = HashSet::new();
        for account in [0, 1, 2, 4711, MAX_ACCOUNTS as u32 - 1] {
            for region in [0, 1, 33, MAX_REGIONS as u16 - 1] {
                let place = Place { account, region };
                for (recorded, id) in &all {
                    let mut token = Vec::new();
                    ids.write(*id, place, &mut token);
                    assert_eq!(token.len(), recorded.len());
                    assert_eq!(ids.recorded(&token, id.form, place), Some(*recorded));
                    let elsewhere = Place { account: account ^ 1, region };
                    assert_eq!(ids.recorded(&token, id.form, elsewhere), None);
                    let is_new = seen.insert(token);
                    assert_eq!(is_new, !id.form.is_global() || region == 0, "{recorded:?} {place:?}");
                }
            }
        }
    }

    #[test]
    fn words_and_numbers_are_no_ids() {
        let is_id = |token: &[u8], before: &[u8]| Form::of(token).is_some_and(|form| form.is_id(token, before));
        assert!(is_id(b"20211101", b"vol-") && !is_id(b"20211101", b"at ") && !is_id(b"20211101", b"0-"));
        assert!(is_id(b"8cc9835771473b6e6", b"snap-") && is_id(b"d7dd99127988ef7a", b"alb-0/"));
        assert!(is_id(b"28zhmra1b9e0x7ild8j2", b">") && !is_id(b"internationalization", b" "));
        assert!(is_id(b"AKIARZPUZDIKGWEMDXIA", b">"));
        assert!(!is_id(b"8CC9835771473B6E", b"") && !is_id(b"deadbee", b"i-"));
        assert!(is_id(b"AIDARZPUZDIKGWEMDXI4", b"") && !is_id(b"ABCDEFGHIJKLMNOPQRST", b""));
    }

    #[test]
    fn numbers_of_a_form_are_limited() {
        let mut ids = Ids::default();
        let mut add = |number: usize| ids.add(format!("{number:08x}").as_bytes(), Form::Short);
        assert!((0..MAX_SHORT).all(|number| add(number).is_some()));
        assert_eq!(add(MAX_SHORT), None);
        assert!(add(0).is_some());
    }
}
