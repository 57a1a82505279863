//! Node IDs, byte for byte those of the Python worker, so that a core keeps the history of its nodes.
//!
//! An ID is the URL-safe base64, unpadded, of BLAKE2b-128 over the string of a Python tuple of seven strings. The rules
//! of Python's `repr` are therefore part of the ID: quotes, escapes and printable characters.

use std::{fmt, fmt::Write, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use blake2::{Blake2b, Digest, digest::consts::U16};
use thiserror::Error;

use super::printable::is_printable;

/// The placeholder for an ancestor that a resource does not have.
pub const UNDEFINED: &str = "undefined";

/// The ID of a node: 16 bytes, displayed as 22 characters of URL-safe base64.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub [u8; 16]);

/// The parts of a node ID. Ancestors are given by their IDs; [`UNDEFINED`] replaces a missing ancestor.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// The kind, such as `aws_vpc`.
    pub kind: &'a str,
    /// The cloud; for a cloud's node the cloud itself.
    pub cloud: &'a str,
    /// The account; for an account's node the account itself.
    pub account: &'a str,
    /// The region; for a region's node the region itself.
    pub region: &'a str,
    /// The zone.
    pub zone: &'a str,
    /// The resource's ID in the cloud.
    pub id: &'a str,
    /// The resource's name.
    pub name: Option<&'a str>,
}

/// A string that is not a node ID.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} is no node id: 22 characters of URL-safe base64 are expected")]
pub struct InvalidNodeId(pub String);

impl NodeId {
    /// Returns the ID of a resource.
    #[must_use]
    pub fn of(identity: &Identity<'_>) -> NodeId {
        let Identity { kind, cloud, account, region, zone, id, name } = *identity;
        let mut tuple = String::with_capacity(192);
        tuple.push('(');
        for text in [kind, cloud, account, region, zone, id] {
            push_repr(&mut tuple, text);
            tuple.push_str(", ");
        }
        match name {
            Some(name) => push_repr(&mut tuple, name),
            None => tuple.push_str("None"),
        }
        tuple.push(')');
        NodeId(Blake2b::<U16>::digest(tuple.as_bytes()).into())
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 22];
        let written = URL_SAFE_NO_PAD.encode_slice(self.0, &mut text).map_err(|_| fmt::Error)?;
        f.write_str(std::str::from_utf8(&text[..written]).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for NodeId {
    type Err = InvalidNodeId;

    /// Accepts only strings that [`NodeId`]'s `Display` writes.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidNodeId(text.to_owned());
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| invalid())?;
        bytes.try_into().map(NodeId).map_err(|_| invalid())
    }
}

/// Appends Python's `repr(text)`.
fn push_repr(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            _ if character == quote => {
                out.push('\\');
                out.push(quote);
            }
            ' '..='~' => out.push(character),
            _ if is_printable(character) => out.push(character),
            _ => push_escape(out, u32::from(character)),
        }
    }
    out.push(quote);
}

fn push_escape(out: &mut String, code: u32) {
    let written = match code {
        0..=0xff => write!(out, "\\x{code:02x}"),
        0x100..=0xffff => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    };
    debug_assert!(written.is_ok(), "writing to a string does not fail");
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn repr(text: &str) -> String {
        let mut out = String::new();
        push_repr(&mut out, text);
        out
    }

    #[test]
    fn every_recorded_python_id_is_reproduced() {
        let vectors: Vec<Value> = serde_json::from_str(include_str!("../../tests/golden/ids.json")).unwrap();
        assert!(vectors.len() > 400, "{} vectors", vectors.len());
        for vector in &vectors {
            let part = |index: usize| vector["identity"][index].as_str().unwrap();
            let identity = Identity {
                kind: part(0),
                cloud: part(1),
                account: part(2),
                region: part(3),
                zone: part(4),
                id: part(5),
                name: vector["identity"][6].as_str(),
            };
            assert_eq!(NodeId::of(&identity).to_string(), vector["id"].as_str().unwrap(), "{vector}");
        }
    }

    #[test]
    fn repr_uses_the_quotes_of_python() {
        assert_eq!(repr("plain"), "'plain'");
        assert_eq!(repr("it's"), "\"it's\"");
        assert_eq!(repr("\"both\" aren't"), r#"'"both" aren\'t'"#);
        assert_eq!(repr("a\\b\u{7f}\u{200b}\u{e0001}é"), r"'a\\b\x7f\u200b\U000e0001é'");
    }

    #[test]
    fn text_not_written_by_display_is_rejected() {
        for text in ["", "root", "TXM91rR24mG18DeK7ljCTR", "TXM91rR24mG18DeK7ljCTQ=", "TXM91rR24mG18DeK7ljC/Q"] {
            assert_eq!(text.parse::<NodeId>(), Err(InvalidNodeId(text.to_owned())));
        }
    }

    proptest! {
        #[test]
        fn text_form_round_trips(bytes: [u8; 16]) {
            prop_assert_eq!(NodeId(bytes).to_string().parse(), Ok(NodeId(bytes)));
        }
    }
}
