//! The kinds of values: scalars, lists, maps and structures, parsed from the models' lines.

use std::{borrow::Cow, fmt, sync::OnceLock};

use super::Service;

/// The kind of a member, an item or a value.
#[derive(Debug)]
pub enum Kind {
    /// A string.
    Text,
    /// An integer.
    Integer,
    /// A floating-point number.
    Float,
    /// A boolean.
    Bool,
    /// A point in time; `None` means the usual format at its binding.
    Time(Option<TimeForm>),
    /// Bytes.
    Blob,
    /// Any JSON.
    Document,
    /// A list.
    List(Box<ListShape>),
    /// A map.
    Map(Box<MapShape>),
    /// A structure.
    Structure(StructureRef),
}

/// The format of a point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeForm {
    /// `2021-11-01T00:00:00Z`
    Iso8601,
    /// Seconds since 1970, maybe with a fraction.
    Unix,
    /// `Mon, 01 Nov 2021 00:00:00 GMT`
    Rfc822,
}

/// A list.
#[derive(Debug)]
pub struct ListShape {
    /// The kind of the items.
    pub item: Kind,
    /// The wire name of the items, if it is not the usual one.
    pub wire: Option<&'static str>,
    /// Whether the items have no element around them.
    pub flat: bool,
}

/// A map; its keys are strings.
#[derive(Debug)]
pub struct MapShape {
    /// The kind of the values.
    pub value: Kind,
    /// The wire name of the key.
    pub key_wire: &'static str,
    /// The wire name of the value.
    pub value_wire: &'static str,
    /// Whether the entries have no element around them.
    pub flat: bool,
}

/// A reference to a structure, which is looked up on first use, as structures may contain themselves.
pub struct StructureRef {
    service: &'static Service,
    name: &'static str,
    found: OnceLock<&'static Structure>,
}

/// A structure.
#[derive(Debug)]
pub struct Structure {
    /// The name in the service's model.
    pub name: &'static str,
    /// The members in the model's order.
    pub members: Vec<Member>,
    /// The member that alone is the body.
    pub payload: Option<&'static str>,
}

/// A member of a structure.
#[derive(Debug)]
pub struct Member {
    /// The name in the model, which callers use.
    pub name: &'static str,
    /// The kind of its value.
    pub kind: Kind,
    /// The wire name.
    pub wire: Cow<'static, str>,
    /// The name in requests of the EC2 protocol, if it is not derived from the wire name.
    pub query: Option<&'static str>,
    /// The part of the HTTP message that has the member.
    pub binding: Binding,
    /// Whether it is required.
    pub required: bool,
    /// The namespace of its element.
    pub namespace: Option<&'static str>,
}

/// The part of the HTTP message that has a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// The body.
    Body,
    /// An attribute of the element in the body.
    Attribute,
    /// A header.
    Header,
    /// All headers that begin with the wire name.
    Headers,
    /// A field of the query.
    Query,
    /// A part of the path.
    Path,
    /// The HTTP status.
    Status,
}

impl Binding {
    /// Returns whether a member is in the body of a response, which has neither path nor query.
    pub(in super::super) fn is_in_response_body(self) -> bool {
        matches!(self, Self::Body | Self::Query | Self::Path)
    }
}

impl StructureRef {
    /// Returns a reference by name; `-` means none.
    pub(super) fn of(service: &'static Service, name: &'static str) -> Option<Self> {
        (name != "-").then(|| Self { service, name, found: OnceLock::new() })
    }

    /// Returns the structure.
    #[must_use]
    pub fn get(&self) -> &'static Structure {
        self.found.get_or_init(|| {
            // The generator writes every structure to which it refers; a test checks all of them.
            static NOTHING: Structure = Structure { name: "", members: Vec::new(), payload: None };
            self.service.structure(self.name).unwrap_or(&NOTHING)
        })
    }
}

impl fmt::Debug for StructureRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Structure {
    /// Returns the member with this name.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }

    pub(super) fn parse(service: &'static Service, line: &'static str) -> Option<Self> {
        let mut words = line.split(' ');
        let mut structure = Self { name: words.next()?, members: Vec::new(), payload: None };
        for word in words {
            match word.strip_prefix("!payload=") {
                Some(member) => structure.payload = Some(member),
                None => structure.members.push(Member::parse(service, word)?),
            }
        }
        structure.members.shrink_to_fit();
        Some(structure)
    }
}

impl Member {
    fn parse(service: &'static Service, word: &'static str) -> Option<Self> {
        let (name, rest) = word.split_once('=')?;
        let (kind, rest) = Kind::parse(service, rest)?;
        let mut flags = rest.split('!');
        let names = flags.next()?;
        let (wire, query) = names.split_once('?').map_or((names, None), |(wire, query)| (wire, Some(query)));
        let wire = wire_name(name, wire);
        let mut member = Self { name, kind, wire, query, binding: Binding::Body, required: false, namespace: None };
        flags.for_each(|flag| member.set(flag));
        // The items of a flat list have the wire name.
        if let Kind::List(list) = &member.kind
            && let (true, Some(wire)) = (list.flat, list.wire)
        {
            member.wire = Cow::Borrowed(wire);
        }
        Some(member)
    }

    fn set(&mut self, flag: &'static str) {
        match flag {
            "h" => self.binding = Binding::Header,
            "H" => self.binding = Binding::Headers,
            "q" => self.binding = Binding::Query,
            "u" => self.binding = Binding::Path,
            "c" => self.binding = Binding::Status,
            "a" => self.binding = Binding::Attribute,
            "r" => self.required = true,
            _ => self.namespace = flag.strip_prefix('x'),
        }
    }
}

/// Returns the wire name from the text after the kind: nothing, `@` for the member's name with a lower-case first
/// letter, or `@name`.
fn wire_name(name: &'static str, text: &'static str) -> Cow<'static, str> {
    match text.strip_prefix('@') {
        None => Cow::Borrowed(name),
        Some("") => {
            let mut wire = name.to_owned();
            if let Some(first) = wire.get_mut(..1) {
                first.make_ascii_lowercase();
            }
            Cow::Owned(wire)
        }
        Some(wire) => Cow::Borrowed(wire),
    }
}

impl Kind {
    /// Parses a kind at the start of a text, and returns the rest.
    fn parse(service: &'static Service, text: &'static str) -> Option<(Self, &'static str)> {
        match text.as_bytes().first()? {
            b'[' => Self::list(service, &text[1..], false),
            b'(' => Self::list(service, &text[1..], true),
            b'{' => Self::map(service, &text[1..], false),
            b'<' => Self::map(service, &text[1..], true),
            _ => Self::named(service, text),
        }
    }

    fn list(service: &'static Service, text: &'static str, flat: bool) -> Option<(Self, &'static str)> {
        let (item, rest) = Self::parse(service, text)?;
        let (wire, rest) = rest.split_once(if flat { ')' } else { ']' })?;
        Some((Self::List(Box::new(ListShape { item, wire: wire.strip_prefix('@'), flat })), rest))
    }

    fn map(service: &'static Service, text: &'static str, flat: bool) -> Option<(Self, &'static str)> {
        let (key, rest) = text.split_once(':')?;
        let (value, rest) = Self::parse(service, rest)?;
        let (wire, rest) = rest.split_once(if flat { '>' } else { '}' })?;
        let key_wire = if key.is_empty() { "key" } else { key };
        let value_wire = wire.strip_prefix('@').unwrap_or("value");
        Some((Self::Map(Box::new(MapShape { value, key_wire, value_wire, flat })), rest))
    }

    fn named(service: &'static Service, text: &'static str) -> Option<(Self, &'static str)> {
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.').unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        let kind = match name {
            "s" => Self::Text,
            "i" | "l" => Self::Integer,
            "f" | "d" => Self::Float,
            "b" => Self::Bool,
            "B" => Self::Blob,
            "j" => Self::Document,
            "t" => Self::Time(None),
            "ti" => Self::Time(Some(TimeForm::Iso8601)),
            "tu" => Self::Time(Some(TimeForm::Unix)),
            "tr" => Self::Time(Some(TimeForm::Rfc822)),
            _ => Self::Structure(StructureRef::of(service, name)?),
        };
        Some((kind, rest))
    }
}
