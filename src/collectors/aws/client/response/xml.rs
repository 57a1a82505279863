//! XML to a [`Tree`], guided by the model: unknown elements are skipped, strings are borrowed where possible.

use std::borrow::Cow;

use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};

use super::{
    super::model::{Binding, Kind, ListShape, MapShape, Member, Operation, Structure},
    Entries, Only, scalar,
};
use crate::engine::Tree;

/// The deepest nesting. Responses of AWS are not deeper, and the stack must not overflow.
const MAX_DEPTH: usize = 64;

/// Parses a document as the output of an operation.
pub(super) fn output<'a>(text: &'a str, operation: &'static Operation, only: Only<'_>) -> Result<Tree<'a>, String> {
    let Some(output) = &operation.output else { return Ok(Tree::Null) };
    let mut document = Document::new(text);
    let root = document.open_root()?;
    if operation.unwrapped {
        return document.unwrapped(output.get());
    }
    match operation.wrapper {
        None => document.structure(output.get(), Some(&root), only).map(Tree::Map),
        Some(wrapper) => {
            while let Some(element) = document.next_child()? {
                if local(&element) == wrapper {
                    return document.structure(output.get(), Some(&element), only).map(Tree::Map);
                }
                document.skip(&element)?;
            }
            Err(format!("there is no {wrapper} in the response"))
        }
    }
}

/// Checks that a document is complete, and that its root and the element around the output are those of the operation.
pub(super) fn check(text: &str, operation: &Operation, wrapper: Option<&str>) -> Result<(), String> {
    let mut document = Document::new(text);
    let root = document.open_root()?;
    if !operation.is_reply_root(local(&root)) {
        return Err(format!("unexpected root element {} of {}", local(&root), operation.name));
    }
    let mut is_wrapped = wrapper.is_none();
    while let Some(element) = document.next_child()? {
        is_wrapped = is_wrapped || wrapper == Some(local(&element));
        document.skip(&element)?;
    }
    if let Some(wrapper) = wrapper.filter(|_| !is_wrapped) {
        return Err(format!("there is no {wrapper} in the response"));
    }
    loop {
        match document.event()? {
            Event::Eof => return Ok(()),
            Event::Start(element) => return Err(format!("there is a second root element {}", local(&element))),
            _ => {}
        }
    }
}

/// Parses a document whose root is the element of a value.
pub(super) fn root<'a>(text: &'a str, kind: &'static Kind) -> Result<Tree<'a>, String> {
    let mut document = Document::new(text);
    let root = document.open_root()?;
    document.value(kind, &root)
}

/// A parser inside a document.
pub(super) struct Document<'a> {
    reader: Reader<&'a [u8]>,
    depth: usize,
}

impl<'a> Document<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let mut reader = Reader::from_str(text);
        // So that an empty element is an element without content.
        reader.config_mut().expand_empty_elements = true;
        Self { reader, depth: 0 }
    }

    /// Returns the root element.
    pub(super) fn open_root(&mut self) -> Result<BytesStart<'a>, String> {
        loop {
            match self.event()? {
                Event::Start(element) => return Ok(element),
                Event::Eof => return Err("the body has no XML element".to_owned()),
                Event::Text(text) if !text.trim().is_empty() => return Err("the body is not XML".to_owned()),
                _ => {}
            }
        }
    }

    /// Returns the next element inside the current one, or `None` at its end.
    pub(super) fn next_child(&mut self) -> Result<Option<BytesStart<'a>>, String> {
        loop {
            match self.event()? {
                Event::Start(element) => return Ok(Some(element)),
                Event::End(_) => return Ok(None),
                Event::Eof => return Err("the XML ends too early".to_owned()),
                _ => {}
            }
        }
    }

    /// Returns the text of the current element up to its end; elements inside it are skipped.
    pub(super) fn text(&mut self) -> Result<Cow<'a, str>, String> {
        let mut text = Cow::Borrowed("");
        loop {
            match self.event()? {
                Event::Text(part) => append(&mut text, part.into_inner()),
                Event::CData(part) => append(&mut text, part.into_inner()),
                Event::GeneralRef(reference) => {
                    text.to_mut().push(entity(&reference.into_inner()).unwrap_or(char::REPLACEMENT_CHARACTER));
                }
                Event::Start(element) => self.skip(&element)?,
                Event::End(_) => return Ok(text),
                Event::Eof => return Err("the XML ends too early".to_owned()),
                Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            }
        }
    }

    /// Skips the rest of an element.
    pub(super) fn skip(&mut self, element: &BytesStart<'_>) -> Result<(), String> {
        self.reader.read_to_end(element.name()).map(|_| ()).map_err(|error| format!("broken XML: {error}"))
    }

    fn event(&mut self) -> Result<Event<'a>, String> {
        self.reader.read_event().map_err(|error| format!("broken XML: {error}"))
    }

    fn value(&mut self, kind: &'static Kind, element: &BytesStart<'_>) -> Result<Tree<'a>, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("XML deeper than {MAX_DEPTH} levels"));
        }
        let value = match kind {
            Kind::Structure(structure) => self.structure(structure.get(), Some(element), None).map(Tree::Map),
            Kind::List(list) => self.list(list),
            Kind::Map(map) => self.map(map),
            _ => self.text().and_then(|text| scalar::value(text, kind)),
        };
        self.depth -= 1;
        value
    }

    fn structure(
        &mut self,
        structure: &'static Structure,
        element: Option<&BytesStart<'_>>,
        only: Only<'_>,
    ) -> Result<Entries<'a>, String> {
        let mut entries = Vec::new();
        if let Some(element) = element {
            attributes(structure, element, &mut entries)?;
        }
        let mut expected = 0;
        while let Some(child) = self.next_child()? {
            let member = find(structure, local(&child), &mut expected);
            match member.filter(|member| only.is_none_or(|names| names.contains(&member.name))) {
                Some(member) => self.member(member, &child, &mut entries)?,
                None => self.skip(&child)?,
            }
        }
        Ok(entries)
    }

    fn member(
        &mut self,
        member: &'static Member,
        element: &BytesStart<'_>,
        entries: &mut Entries<'a>,
    ) -> Result<(), String> {
        let value = match &member.kind {
            Kind::List(list) if list.flat => {
                let item = self.value(&list.item, element)?;
                if let Tree::List(items) = entry(entries, member.name, || Tree::List(Vec::new())) {
                    items.push(item);
                }
                return Ok(());
            }
            Kind::Map(map) if map.flat => {
                let pair = self.pair(map)?;
                if let Tree::Map(pairs) = entry(entries, member.name, || Tree::Map(Vec::new())) {
                    pairs.extend(pair);
                }
                return Ok(());
            }
            kind => self.value(kind, element).map_err(|message| format!("{}: {message}", member.name))?,
        };
        if !matches!(value, Tree::Null) {
            entries.push((Cow::Borrowed(member.name), value));
        }
        Ok(())
    }

    fn list(&mut self, list: &'static ListShape) -> Result<Tree<'a>, String> {
        let mut items = Vec::new();
        while let Some(child) = self.next_child()? {
            items.push(self.value(&list.item, &child)?);
        }
        Ok(Tree::List(items))
    }

    fn map(&mut self, map: &'static MapShape) -> Result<Tree<'a>, String> {
        let mut pairs = Vec::new();
        while self.next_child()?.is_some() {
            pairs.extend(self.pair(map)?);
        }
        Ok(Tree::Map(pairs))
    }

    /// Parses an entry of a map; `None` if it has no key.
    fn pair(&mut self, map: &'static MapShape) -> Result<Option<(Cow<'a, str>, Tree<'a>)>, String> {
        let (mut key, mut value) = (None, Tree::Null);
        while let Some(child) = self.next_child()? {
            match local(&child) {
                name if name == map.key_wire => key = Some(self.text()?),
                name if name == map.value_wire => value = self.value(&map.value, &child)?,
                _ => self.skip(&child)?,
            }
        }
        Ok(key.map(|key| (key, value)))
    }

    /// Parses the only body member of a structure, whose element is the root itself.
    fn unwrapped(&mut self, structure: &'static Structure) -> Result<Tree<'a>, String> {
        let Some(member) = structure.members.iter().find(|member| member.binding == Binding::Body) else {
            return Ok(Tree::Map(Vec::new()));
        };
        let text = self.text()?;
        // An empty element means that the member is absent: a bucket in the oldest region has no constraint.
        let value = if text.is_empty() { None } else { Some(scalar::value(text, &member.kind)?) };
        Ok(Tree::Map(value.map(|value| (Cow::Borrowed(member.name), value)).into_iter().collect()))
    }
}

/// Returns the name of an element without its namespace.
pub(super) fn local<'e>(element: &'e BytesStart<'_>) -> &'e str {
    element.local_name().into_inner()
}

/// Returns the member with this wire name. Elements usually come in the model's order, so that the search starts after
/// the last one.
fn find(structure: &'static Structure, wire: &str, expected: &mut usize) -> Option<&'static Member> {
    let members = &structure.members;
    let (before, behind) = members.split_at(*expected.min(&mut members.len()));
    let fits = |member: &&Member| member.binding.is_in_response_body() && member.wire == wire;
    let hit = behind.iter().position(|member| fits(&member)).map(|at| at + before.len());
    let hit = hit.or_else(|| before.iter().position(|member| fits(&member)))?;
    // A flat list continues under the same name.
    *expected = hit;
    members.get(hit)
}

/// Returns the value with a name, adding it if absent.
fn entry<'e, 'a>(
    entries: &'e mut Entries<'a>,
    name: &'static str,
    make: impl FnOnce() -> Tree<'a>,
) -> &'e mut Tree<'a> {
    let at = entries.iter().rposition(|(known, _)| known == name).unwrap_or_else(|| {
        entries.push((Cow::Borrowed(name), make()));
        entries.len() - 1
    });
    &mut entries[at].1
}

fn attributes(
    structure: &'static Structure,
    element: &BytesStart<'_>,
    entries: &mut Entries<'_>,
) -> Result<(), String> {
    for member in structure.members.iter().filter(|member| member.binding == Binding::Attribute) {
        let found = element.try_get_attribute(member.wire.as_ref()).map_err(|error| format!("broken XML: {error}"))?;
        if let Some(attribute) = found {
            let raw = attribute.value.as_ref();
            // A reference to no character stays as it is.
            let text = quick_xml::escape::unescape(raw).unwrap_or(Cow::Borrowed(raw));
            entries.push((Cow::Borrowed(member.name), Tree::Text(Cow::Owned(text.into_owned()))));
        }
    }
    Ok(())
}

fn append<'a>(text: &mut Cow<'a, str>, part: Cow<'a, str>) {
    if text.is_empty() {
        *text = part;
    } else {
        text.to_mut().push_str(&part);
    }
}

/// Returns the character of a predefined or numeric entity, given without `&` and `;`; `None` for half a surrogate
/// pair, a number beyond all characters and an undefined name.
fn entity(name: &str) -> Option<char> {
    Some(match name {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "apos" => '\'',
        "quot" => '"',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix('x') {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)?
        }
    })
}
