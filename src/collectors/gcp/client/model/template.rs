//! The paths of methods: templates that are filled with parameters, and that recognize the paths of links.

use std::borrow::Cow;

/// The path of a method below its service's, such as `projects/{project}/zones` or `v1/{+parent=services/*}/skus`.
#[derive(Debug, PartialEq, Eq)]
pub struct Template {
    segments: Vec<Segment>,
    /// What follows the last segment after a colon, such as `search`.
    verb: Option<&'static str>,
}

#[derive(Debug, PartialEq, Eq)]
enum Segment {
    /// The segment itself.
    Literal(&'static str),
    /// A parameter of one segment.
    One(&'static str),
    /// A parameter of several segments, and their pattern: a literal each, `*` for any, and `**` for any number at the
    /// end.
    Several(&'static str, Vec<&'static str>),
}

/// Parameters of a path: names and values.
pub type Values = Vec<(&'static str, String)>;

impl Template {
    pub(super) fn parse(text: &'static str) -> Option<Self> {
        let (text, verb) = match text.rsplit_once(':') {
            Some((path, verb)) if !verb.contains(['/', '}']) => (path, Some(verb)),
            _ => (text, None),
        };
        let mut segments = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let end = match rest.strip_prefix('{') {
                Some(_) => rest.find('}')? + 1,
                None => rest.find('/').unwrap_or(rest.len()),
            };
            segments.push(Segment::parse(&rest[..end])?);
            rest = &rest[end..];
            rest = if rest.is_empty() { rest } else { rest.strip_prefix('/')? };
        }
        Some(Self { segments, verb })
    }

    /// Iterates over the names of the parameters.
    pub fn parameters(&self) -> impl Iterator<Item = &'static str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Literal(_) => None,
            Segment::One(name) | Segment::Several(name, _) => Some(*name),
        })
    }

    /// Returns the path with these parameters, percent-encoded.
    ///
    /// # Errors
    /// A sentence that names the parameter.
    pub fn fill(&self, values: &Values) -> Result<String, String> {
        let value = |name: &str| {
            let found = values.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
            found.ok_or_else(|| format!("the parameter {name} is missing"))
        };
        let mut parts: Vec<String> = Vec::with_capacity(self.segments.len());
        for segment in &self.segments {
            match segment {
                Segment::Literal(text) => parts.push((*text).to_owned()),
                Segment::One(name) => parts.push(encoded_segment(name, value(name)?)?),
                Segment::Several(name, pattern) => {
                    let given: Vec<&str> = value(name)?.split('/').collect();
                    if taken(pattern, &given) != Some(given.len()) {
                        return Err(format!("the parameter {name} must have the form {}", pattern.join("/")));
                    }
                    for part in given {
                        parts.push(encoded_segment(name, part)?);
                    }
                }
            }
        }
        let path = parts.join("/");
        Ok(self.verb.map_or_else(|| path.clone(), |verb| format!("{path}:{verb}")))
    }

    /// Returns the parameters with which the path, without what calls `action` at its end, is that of a resource;
    /// `None` if it cannot be. The segments are decoded.
    pub fn read(&self, action: &str, segments: &[Cow<'_, str>]) -> Option<Values> {
        let own = match (self.verb, self.segments.split_last()) {
            (Some(verb), _) => (verb == action).then_some(self.segments.as_slice())?,
            (None, Some((Segment::Literal(last), before))) if *last == action => before,
            _ => self.segments.as_slice(),
        };
        let mut values = Vec::new();
        let mut rest: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
        for segment in own {
            let length = match segment {
                Segment::Literal(text) => (rest.first() == Some(text)).then_some(1)?,
                Segment::One(_) => 1,
                Segment::Several(_, pattern) => taken(pattern, &rest)?,
            };
            let given = rest.get(..length)?.join("/");
            match segment {
                Segment::Literal(_) => {}
                Segment::One(name) | Segment::Several(name, _) => values.push((*name, given)),
            }
            rest.drain(..length);
        }
        rest.is_empty().then_some(values)
    }
}

impl Segment {
    fn parse(text: &'static str) -> Option<Self> {
        let Some(inside) = text.strip_prefix('{') else { return Some(Self::Literal(text)) };
        let inside = inside.strip_suffix('}')?;
        let Some(several) = inside.strip_prefix('+') else { return Some(Self::One(inside)) };
        let (name, pattern) = several.split_once('=')?;
        Some(Self::Several(name, pattern.split('/').collect()))
    }
}

/// Returns how many of the segments a pattern takes, from the first; `None` if they do not fit.
fn taken(pattern: &[&str], segments: &[&str]) -> Option<usize> {
    for (at, part) in pattern.iter().enumerate() {
        match (*part, segments.get(at)) {
            ("**", Some(_)) => return Some(segments.len()),
            ("*", Some(_)) => {}
            (literal, Some(segment)) if literal == *segment => {}
            _ => return None,
        }
    }
    Some(pattern.len())
}

/// Encodes a value that must stay one segment. Dots alone would lead to another path, however they are encoded.
fn encoded_segment(name: &str, value: &str) -> Result<String, String> {
    match value {
        "" => Err(format!("the parameter {name} is empty")),
        "." | ".." => Err(format!("the parameter {name} must not be {value:?}, which would lead to another path")),
        _ => Ok(encoded(value)),
    }
}

/// Percent-encodes all that is not unreserved.
pub fn encoded(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

/// Decodes percent-encoded bytes; `None` if they are no UTF-8 or the escape is incomplete.
pub fn decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let (byte, after) = match first {
            b'%' => {
                let digits = after.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
                (u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?, &after[2..])
            }
            _ => (*first, after),
        };
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn filled(template: &'static str, values: &[(&'static str, &str)]) -> Result<String, String> {
        let values = values.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Template::parse(template).unwrap().fill(&values)
    }

    fn read(template: &'static str, action: &str, path: &str) -> Option<Values> {
        let segments: Vec<_> = path.split('/').map(Cow::Borrowed).collect();
        Template::parse(template).unwrap().read(action, &segments)
    }

    #[test]
    fn values_are_percent_encoded() {
        let project = filled("projects/{project}/zones", &[("project", "example.com:app")]);
        assert_eq!(project.unwrap(), "projects/example.com%3Aapp/zones");
        let object = filled("b/{bucket}/o/{object}", &[("bucket", "b"), ("object", "a/ü?#% c")]);
        assert_eq!(object.unwrap(), "b/b/o/a%2F%C3%BC%3F%23%25%20c");
        assert_eq!(
            filled("v1/{+parent=services/*}/skus", &[("parent", "services/A-B")]).unwrap(),
            "v1/services/A-B/skus"
        );
        assert_eq!(filled("v3/projects:search", &[]).unwrap(), "v3/projects:search");
    }

    #[test]
    fn values_that_lead_elsewhere_are_rejected() {
        for (template, values) in [
            ("b/{bucket}", vec![]),
            ("b/{bucket}", vec![("bucket", "")]),
            ("b/{bucket}", vec![("bucket", ".")]),
            ("b/{bucket}", vec![("bucket", "..")]),
            ("v1/{+name=projects/*}", vec![("name", "projects/..")]),
            ("v1/{+name=projects/*}", vec![("name", "projects/")]),
            ("v1/{+name=projects/*}", vec![("name", "folders/1")]),
            ("v1/{+name=projects/*}", vec![("name", "projects/a/b")]),
            ("v1/{+name=operations/**}", vec![("name", "operations")]),
        ] {
            assert!(filled(template, &values).is_err(), "{template} {values:?}");
        }
        assert_eq!(filled("v1/{+name=operations/**}", &[("name", "operations/a/b")]).unwrap(), "v1/operations/a/b");
    }

    #[test]
    fn paths_of_links_are_read() {
        let values = |pairs: &[(&'static str, &str)]| {
            Some(pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect::<Values>())
        };
        let labels = "projects/{project}/global/snapshots/{resource}/setLabels";
        let found = values(&[("project", "p"), ("resource", "s")]);
        assert_eq!(read(labels, "setLabels", "projects/p/global/snapshots/s"), found);
        assert_eq!(read(labels, "setLabels", "projects/p/global/snapshots/s/setLabels"), None);
        assert_eq!(read(labels, "setLabels", "projects/p/global/disks/s"), None);
        let cluster = "v1/{+name=projects/*/locations/*/clusters/*}";
        let path = "v1/projects/p/locations/l/clusters/c";
        assert_eq!(read(cluster, "delete", path), values(&[("name", "projects/p/locations/l/clusters/c")]));
        assert_eq!(read(cluster, "delete", "v1/projects/p/locations/l"), None);
        let verb = "v1/{+name=projects/*}:cancel";
        assert_eq!(read(verb, "cancel", "v1/projects/p"), values(&[("name", "projects/p")]));
        assert_eq!(read(verb, "delete", "v1/projects/p"), None);
    }

    #[test]
    fn escapes_are_decoded() {
        assert_eq!(decoded("example.com%3Aapp").unwrap(), "example.com:app");
        assert_eq!(decoded(&encoded("a/ü%")).unwrap(), "a/ü%");
        for broken in ["%", "%4", "%zz", "%+1", "%ff"] {
            assert_eq!(decoded(broken), None, "{broken}");
        }
    }
}
