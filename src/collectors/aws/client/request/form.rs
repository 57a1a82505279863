//! Form fields of the query protocol and EC2's dialect of it.

use std::borrow::Cow;

use serde_json::Value;

use super::{
    super::model::{Kind, ListShape, MapShape, Member, Operation, Protocol, Structure, TimeForm},
    Input, Outgoing, array, inside, object, scalar, unknown,
};

pub(super) fn outgoing(
    operation: &Operation,
    shape: Option<&'static Structure>,
    input: &Input,
) -> Result<Outgoing, String> {
    let mut form = Form { body: String::new(), ec2: operation.service.protocol == Protocol::Ec2 };
    form.field("Action", operation.name);
    form.field("Version", operation.service.version);
    if let Some(shape) = shape {
        form.structure("", shape, input)?;
    }
    let headers = vec![("content-type".to_owned(), "application/x-www-form-urlencoded; charset=utf-8".to_owned())];
    Ok(Outgoing { method: operation.method, target: "/".to_owned(), headers, body: form.body.into_bytes() })
}

/// The fields so far.
struct Form {
    body: String,
    ec2: bool,
}

impl Form {
    fn field(&mut self, name: &str, value: &str) {
        if !self.body.is_empty() {
            self.body.push('&');
        }
        scalar::escape(name, b"", &mut self.body);
        self.body.push('=');
        scalar::escape(value, b"", &mut self.body);
    }

    fn structure(&mut self, prefix: &str, shape: &'static Structure, input: &Input) -> Result<(), String> {
        for (name, value) in input {
            let member = shape.member(name).ok_or_else(|| unknown(shape, name))?;
            let field = join(prefix, &self.wire(member));
            self.value(&field, &member.kind, value).map_err(|why| inside(name, &why))?;
        }
        Ok(())
    }

    /// Returns the name of a member in a request: EC2 has separate names, or capitalizes the first letter.
    fn wire<'m>(&self, member: &'m Member) -> Cow<'m, str> {
        if !self.ec2 {
            // The last part of the name of a flat list is the name of its items.
            return Cow::Borrowed(&member.wire);
        }
        match member.query {
            Some(name) => Cow::Borrowed(name),
            None => {
                let mut name = member.wire.to_string();
                if let Some(first) = name.get_mut(..1) {
                    first.make_ascii_uppercase();
                }
                Cow::Owned(name)
            }
        }
    }

    fn value(&mut self, field: &str, kind: &'static Kind, value: &Value) -> Result<(), String> {
        match kind {
            Kind::Structure(structure) => self.structure(field, structure.get(), object(value)?),
            Kind::List(list) => self.list(field, list, array(value)?),
            Kind::Map(map) => self.map(field, map, object(value)?),
            _ => {
                let text = scalar::text(kind, value, TimeForm::Iso8601)?;
                self.field(field, &text);
                Ok(())
            }
        }
    }

    fn list(&mut self, field: &str, list: &'static ListShape, items: &[Value]) -> Result<(), String> {
        if items.is_empty() && !self.ec2 {
            self.field(field, "");
        }
        for (number, item) in items.iter().enumerate() {
            let number = number + 1;
            let name = if self.ec2 || list.flat {
                format!("{field}.{number}")
            } else {
                format!("{field}.{}.{number}", list.wire.unwrap_or("member"))
            };
            self.value(&name, &list.item, item)?;
        }
        Ok(())
    }

    fn map(&mut self, field: &str, map: &'static MapShape, entries: &Input) -> Result<(), String> {
        for (number, (key, value)) in entries.iter().enumerate() {
            let entry =
                if map.flat { format!("{field}.{}", number + 1) } else { format!("{field}.entry.{}", number + 1) };
            self.field(&format!("{entry}.{}", map.key_wire), key);
            self.value(&format!("{entry}.{}", map.value_wire), &map.value, value)?;
        }
        Ok(())
    }
}

fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }
}
