//! Responses: from the bytes of any protocol to a [`Tree`], and from an error to its code and message.

mod body;
mod check;
mod failure;
mod json;
mod scalar;
#[cfg(test)]
mod tests;
mod xml;

use std::borrow::Cow;

pub(super) use body::Body;
pub(super) use check::checked;
pub(super) use failure::failure;

use super::{
    error::reported,
    model::{Binding, Kind, Member, Operation, Protocol, Structure},
    pages,
};
use crate::engine::{self, CallError, Next, Tree};

/// Headers by name in lower case.
pub(super) type Headers = Vec<(String, String)>;

/// Returns the value of a header.
pub(super) fn header<'h>(headers: &'h Headers, name: &str) -> Option<&'h str> {
    headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// A successful response.
#[derive(Clone, Debug)]
pub struct Response {
    pub(super) operation: &'static Operation,
    pub(super) region: String,
    pub(super) status: u16,
    pub(super) headers: Headers,
    pub(super) body: Body,
}

/// The members of the output to parse; the others are skipped.
pub(super) type Only<'o> = Option<&'o [&'o str]>;

impl Response {
    /// Returns the operation of the call.
    #[must_use]
    pub fn operation(&self) -> &'static Operation {
        self.operation
    }

    /// Returns the unparsed body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.body.bytes()
    }

    /// Returns the response as a tree that borrows from it. Parses on each call.
    ///
    /// # Errors
    /// `Unexpected` if the body does not fit the service's model.
    pub fn tree(&self) -> Result<Tree<'_>, CallError> {
        self.members(None)
    }

    /// Returns the response with only some members.
    pub(super) fn members(&self, only: Only<'_>) -> Result<Tree<'_>, CallError> {
        let Some(output) = &self.operation.output else { return Ok(Tree::Map(Vec::new())) };
        self.parse(output.get(), only).map_err(|message| {
            CallError::unexpected_response(format!("{message} (a response of {} bytes)", self.body().len())).of(
                self.operation.service.name,
                self.operation.name,
                &self.region,
            )
        })
    }

    fn parse(&self, output: &'static Structure, only: Only<'_>) -> Result<Tree<'_>, String> {
        let mut entries = match output.payload.and_then(|name| output.member(name)) {
            Some(member) => self.payload(member)?,
            None => self.body_members(output, only)?,
        };
        for member in &output.members {
            if let Some(value) = self.outside(member) {
                entries.push((Cow::Borrowed(member.name), value?));
            }
        }
        Ok(Tree::Map(entries))
    }

    fn body_members(&self, output: &'static Structure, only: Only<'_>) -> Result<Entries<'_>, String> {
        if self.body().is_empty() {
            return Ok(Vec::new());
        }
        let tree = match self.operation.service.protocol {
            Protocol::Json | Protocol::RestJson => json::structure(self.body.text()?, output, only)?,
            Protocol::Query | Protocol::Ec2 | Protocol::RestXml => {
                xml::output(self.body.text()?, self.operation, only)?
            }
        };
        match tree {
            Tree::Map(entries) => Ok(entries),
            _ => Ok(Vec::new()),
        }
    }

    /// Returns the member that is the whole body.
    fn payload(&self, member: &'static Member) -> Result<Entries<'_>, String> {
        if self.body().is_empty() {
            return Ok(Vec::new());
        }
        let value = match &member.kind {
            Kind::Blob => Tree::Blob(self.body().to_vec()),
            Kind::Text => Tree::Text(Cow::Borrowed(self.body.text()?)),
            kind => match self.operation.service.protocol {
                Protocol::Json | Protocol::RestJson => json::value(self.body.text()?, kind)?,
                Protocol::Query | Protocol::Ec2 | Protocol::RestXml => xml::root(self.body.text()?, kind)?,
            },
        };
        Ok(vec![(Cow::Borrowed(member.name), value)])
    }

    /// Returns a member from the headers or the status, if present.
    fn outside(&self, member: &'static Member) -> Option<Result<Tree<'_>, String>> {
        match member.binding {
            Binding::Status => Some(Ok(Tree::Int(self.status.into()))),
            Binding::Header => {
                let value = self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(&member.wire));
                value.map(|(_, value)| scalar::header(value, &member.kind))
            }
            Binding::Headers => Some(Ok(Tree::Map(self.prefixed(&member.wire)))),
            Binding::Body | Binding::Attribute | Binding::Query | Binding::Path => None,
        }
    }

    /// Returns the headers whose names begin with the prefix, by the rest of the name.
    fn prefixed(&self, prefix: &str) -> Entries<'_> {
        let matching = |name: &str| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
        let headers = self.headers.iter().filter(|(name, _)| matching(name));
        headers.map(|(name, value)| (Cow::from(&name[prefix.len()..]), Tree::Text(Cow::from(value.as_str())))).collect()
    }
}

impl engine::Body for Response {
    fn tree(&self) -> Result<Tree<'_>, CallError> {
        self.tree()
    }

    /// EC2 lists what it could not delete.
    fn refusal(&self) -> Result<Option<CallError>, CallError> {
        let tree = self.tree()?;
        let refusal = tree.at("Unsuccessful[0].Error").map(|refusal| {
            let part = |name| refusal.get(name).and_then(Tree::text).unwrap_or_default();
            reported(part("Code"), self.status, part("Message"))
        });
        Ok(refusal)
    }

    fn next(&self) -> Result<Next, CallError> {
        pages::next(self)
    }
}

/// The members of a structure.
type Entries<'a> = Vec<(Cow<'a, str>, Tree<'a>)>;
