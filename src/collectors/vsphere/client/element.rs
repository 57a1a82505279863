//! Elements of XML, as far as SOAP needs them: local names, types, text and children.

use quick_xml::{
    Reader,
    events::{BytesRef, BytesStart, Event},
};

/// The deepest nesting: the stack must not overflow.
const MAX_DEPTH: usize = 64;
/// The most elements: one takes some forty times the memory of its text. A page has fewer, with a hundred attributes for
/// each machine.
const MAX_ELEMENTS: usize = 2_000_000;

/// An element.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Element {
    /// The name without its prefix.
    pub(super) name: String,
    /// The attribute `type` without a prefix: that of a managed object.
    pub(super) object_type: Option<String>,
    /// The attribute `type` of the schema's namespace, without a prefix: that of a value.
    pub(super) value_type: Option<String>,
    /// The text directly inside it.
    pub(super) text: String,
    /// The elements directly inside it.
    pub(super) children: Vec<Element>,
}

impl Element {
    /// Parses a document.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        // The elements that are open, the root's parent first.
        let (mut open, mut count) = (vec![Self::default()], 0);
        loop {
            let event = reader.read_event().map_err(|error| error.to_string())?;
            match event {
                Event::Start(_) if count == MAX_ELEMENTS => return Err(format!("more than {count} elements of XML")),
                Event::Start(start) if open.len() > MAX_DEPTH => {
                    return Err(format!("the XML is nested too deeply at {:?}", start.name()));
                }
                Event::Start(start) => {
                    open.push(Self::start(&start)?);
                    count += 1;
                }
                Event::End(_) => {
                    let (Some(ended), Some(parent)) = (open.pop(), open.last_mut()) else { break };
                    parent.children.push(ended);
                }
                Event::Text(part) => push(&mut open, &part),
                Event::CData(part) => push(&mut open, &part),
                Event::GeneralRef(reference) => push(&mut open, character(&reference).encode_utf8(&mut [0; 4])),
                Event::Eof => break,
                _ => {}
            }
        }
        match <[Self; 1]>::try_from(open) {
            Ok([Self { mut children, .. }]) if children.len() == 1 => Ok(children.remove(0)),
            _ => Err("it is no complete XML document".to_owned()),
        }
    }

    fn start(start: &BytesStart<'_>) -> Result<Self, String> {
        let local = |name: &str| name.rsplit(':').next().unwrap_or(name).to_owned();
        let mut element = Self { name: local(start.name().as_ref()), ..Self::default() };
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| error.to_string())?;
            let value = || local(&attribute.value);
            match attribute.key.as_ref().rsplit_once(':') {
                None if attribute.key.as_ref() == "type" => element.object_type = Some(value()),
                Some((_, "type")) => element.value_type = Some(value()),
                _ => {}
            }
        }
        Ok(element)
    }

    /// Returns the first child of this name.
    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// Iterates over the children of this name.
    pub(super) fn all<'e>(&'e self, name: &'e str) -> impl Iterator<Item = &'e Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// Returns the text of the first child of this name.
    pub(super) fn text_of(&self, name: &str) -> Option<&str> {
        Some(self.child(name)?.text.trim())
    }

    /// Returns the first element of this name, at any depth.
    pub(super) fn find(&self, name: &str) -> Option<&Self> {
        self.child(name).or_else(|| self.children.iter().find_map(|child| child.find(name)))
    }
}

fn push(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(text);
    }
}

/// Returns the character for a reference; an unknown one is unreadable.
fn character(reference: &BytesRef<'_>) -> char {
    let known = match reference.as_ref() as &str {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => reference.resolve_char_ref().ok().flatten(),
    };
    known.unwrap_or(char::REPLACEMENT_CHARACTER)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn elements_have_types_text_and_children() {
        let text = "<?xml version=\"1.0\"?><a:r xmlns:a=\"x\"><obj type=\"VirtualMachine\">vm-1</obj>\
            <val xsi:type=\"xsd:string\">a &lt;b&gt; &#252; &unknown;</val><empty/></a:r>";
        let root = Element::parse(text).unwrap();
        assert_eq!((root.name.as_str(), root.children.len()), ("r", 3));
        assert_eq!(root.child("obj").unwrap().object_type.as_deref(), Some("VirtualMachine"));
        assert_eq!(root.child("val").unwrap().value_type.as_deref(), Some("string"));
        assert_eq!(root.text_of("val"), Some("a <b> ü \u{fffd}"));
        assert_eq!(root.find("empty").unwrap().text, "");
    }

    #[test]
    fn endless_elements_are_rejected() {
        let text = format!("<a>{}</a>", "<b/>".repeat(MAX_ELEMENTS));
        assert!(Element::parse(&text).unwrap_err().contains("more than"));
    }

    #[test]
    fn broken_and_deep_documents_are_rejected() {
        for text in [String::new(), "no".into(), "<a>".into(), "<a/><b/>".into(), "<a></b>".into(), "<a>".repeat(1000)]
        {
            assert!(Element::parse(&text).is_err(), "{text}");
        }
    }
}
