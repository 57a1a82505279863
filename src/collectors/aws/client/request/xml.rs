//! XML bodies.

use quick_xml::escape::{escape, partial_escape};
use serde_json::Value;

use super::{
    super::model::{Binding, Kind, Member, Structure, TimeForm},
    Input, array, inside, object, scalar, unknown,
};

/// Returns a member as a document.
pub(super) fn element(member: &'static Member, value: &Value) -> Result<Vec<u8>, String> {
    let mut out = String::new();
    write(&mut out, &member.wire, member.namespace, &member.kind, value).map_err(|why| inside(member.name, &why))?;
    Ok(out.into_bytes())
}

/// Returns the body members of a structure below a root element.
pub(super) fn root(
    name: &str,
    namespace: Option<&str>,
    shape: &'static Structure,
    input: &Input,
) -> Result<Vec<u8>, String> {
    let mut out = String::new();
    structure(&mut out, name, namespace, shape, input)?;
    Ok(out.into_bytes())
}

fn write(
    out: &mut String,
    name: &str,
    namespace: Option<&str>,
    kind: &'static Kind,
    value: &Value,
) -> Result<(), String> {
    match kind {
        Kind::Structure(shape) => structure(out, name, namespace, shape.get(), object(value)?)?,
        Kind::List(list) if list.flat => {
            for item in array(value)? {
                write(out, name, None, &list.item, item)?;
            }
        }
        Kind::List(list) => {
            open(out, name, namespace);
            for item in array(value)? {
                write(out, list.wire.unwrap_or("member"), None, &list.item, item)?;
            }
            close(out, name);
        }
        Kind::Map(map) => {
            let around = (!map.flat).then_some(name);
            around.inspect(|name| open(out, name, namespace));
            for (key, value) in object(value)? {
                let entry = if map.flat { name } else { "entry" };
                open(out, entry, None);
                write(out, map.key_wire, None, &Kind::Text, &Value::String(key.clone()))?;
                write(out, map.value_wire, None, &map.value, value)?;
                close(out, entry);
            }
            around.inspect(|name| close(out, name));
        }
        _ => {
            open(out, name, namespace);
            text(out, &scalar::text(kind, value, TimeForm::Iso8601)?)?;
            close(out, name);
        }
    }
    Ok(())
}

fn structure(
    out: &mut String,
    name: &str,
    namespace: Option<&str>,
    shape: &'static Structure,
    input: &Input,
) -> Result<(), String> {
    out.push('<');
    out.push_str(name);
    attribute(out, "xmlns", namespace);
    for member in shape.members.iter().filter(|member| member.binding == Binding::Attribute) {
        // The only attribute of S3 has a prefix that must be declared.
        let value = input.get(member.name).and_then(Value::as_str);
        if value.is_some() && member.wire.starts_with("xsi:") {
            attribute(out, "xmlns:xsi", Some("http://www.w3.org/2001/XMLSchema-instance"));
        }
        attribute(out, &member.wire, value);
    }
    out.push('>');
    if let Some(name) = input.keys().find(|name| shape.member(name).is_none()) {
        return Err(unknown(shape, name));
    }
    // In the model's order, which some services require.
    for member in shape.members.iter().filter(|member| member.binding == Binding::Body) {
        if let Some(value) = input.get(member.name) {
            let written = write(out, &member.wire, member.namespace, &member.kind, value);
            written.map_err(|why| inside(member.name, &why))?;
        }
    }
    close(out, name);
    Ok(())
}

/// Writes a string so that parsers return the same one.
fn text(out: &mut String, text: &str) -> Result<(), String> {
    let never = |character: char| character < ' ' && !"\t\n\r".contains(character);
    if let Some(character) = text.chars().find(|each| never(*each) || matches!(each, '\u{fffe}' | '\u{ffff}')) {
        return Err(format!("XML cannot hold the character U+{:04X}", u32::from(character)));
    }
    // Parsers take a bare one for a line end.
    out.push_str(&partial_escape(text).replace('\r', "&#13;"));
    Ok(())
}

fn attribute(out: &mut String, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        out.push(' ');
        out.push_str(name);
        out.push_str("=\"");
        out.push_str(&escape(value));
        out.push('"');
    }
}

fn open(out: &mut String, name: &str, namespace: Option<&str>) {
    out.push('<');
    out.push_str(name);
    attribute(out, "xmlns", namespace);
    out.push('>');
}

fn close(out: &mut String, name: &str) {
    out.push_str("</");
    out.push_str(name);
    out.push('>');
}
