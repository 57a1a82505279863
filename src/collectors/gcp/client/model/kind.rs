//! The kinds of values: scalars, lists, maps and structures, parsed from the models' lines.

use std::fmt;

use super::Service;

/// The kind of a member, an item or a value.
#[derive(Debug)]
pub enum Kind {
    /// A string.
    Text,
    /// An integer of at most 32 bits, a number in JSON.
    Integer,
    /// An integer of 64 bits, a string of digits in JSON.
    Long,
    /// A floating-point number.
    Float,
    /// A boolean.
    Bool,
    /// A point in time: a string in RFC 3339.
    Time,
    /// Bytes: a string in base64.
    Blob,
    /// Any JSON.
    Document,
    /// A list.
    List(Box<Kind>),
    /// A map; its keys are strings.
    Map(Box<Kind>),
    /// A structure.
    Structure(StructureRef),
}

/// A reference to a structure, which is looked up when it is needed, as structures may contain themselves.
#[derive(Clone, Copy)]
pub struct StructureRef {
    service: &'static Service,
    name: &'static str,
}

/// A structure.
#[derive(Debug)]
pub struct Structure {
    /// The name in the service's discovery document; that of a structure without a name is made of the names of its
    /// owner and its member.
    pub name: &'static str,
    /// The members by name: their kinds.
    pub members: Vec<(&'static str, Kind)>,
}

impl StructureRef {
    /// Returns a reference by name; `-` means none.
    pub(super) fn of(service: &'static Service, name: &'static str) -> Option<Self> {
        (name != "-").then_some(Self { service, name })
    }

    /// Returns the structure.
    #[must_use]
    pub fn get(self) -> &'static Structure {
        // The generator writes every structure to which it refers; a test checks all of them.
        static NOTHING: Structure = Structure { name: "", members: Vec::new() };
        self.service.structure(self.name).unwrap_or(&NOTHING)
    }
}

impl fmt::Debug for StructureRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Structure {
    /// Returns the kind of the member with this name.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Kind> {
        self.members.iter().find(|(known, _)| *known == name).map(|(_, kind)| kind)
    }

    pub(super) fn parse(service: &'static Service, line: &'static str) -> Option<Self> {
        let mut words = line.split(' ');
        let name = words.next()?;
        let member = |word: &'static str| {
            let (name, kind) = word.split_once('=')?;
            Some((name, Kind::parse(service, kind)?))
        };
        Some(Self { name, members: words.map(member).collect::<Option<_>>()? })
    }
}

impl Kind {
    fn parse(service: &'static Service, text: &'static str) -> Option<Self> {
        let inside = |open, close| text.strip_prefix(open).and_then(|text| text.strip_suffix(close));
        if let Some(item) = inside('[', ']') {
            return Some(Self::List(Box::new(Self::parse(service, item)?)));
        }
        if let Some(value) = inside('{', '}') {
            return Some(Self::Map(Box::new(Self::parse(service, value)?)));
        }
        Some(match text {
            "s" => Self::Text,
            "i" => Self::Integer,
            "l" => Self::Long,
            "f" => Self::Float,
            "b" => Self::Bool,
            "t" => Self::Time,
            "B" => Self::Blob,
            "j" => Self::Document,
            _ => Self::Structure(StructureRef::of(service, text)?),
        })
    }
}
