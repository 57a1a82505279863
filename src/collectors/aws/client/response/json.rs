//! JSON to a [`Tree`], guided by the model: unknown members are skipped, strings are borrowed where possible.

use std::{borrow::Cow, fmt};

use aws_smithy_types::{DateTime, base64};
use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{
    super::model::{Kind, Structure},
    Only, scalar,
};
use crate::engine::Tree;

/// Parses a document as a structure.
pub(super) fn structure<'a>(body: &'a str, structure: &'static Structure, only: Only<'_>) -> Result<Tree<'a>, String> {
    document(body, Shape { kind: None, structure: Some(structure), only })
}

/// Parses a document as a value of this kind.
pub(super) fn value<'a>(body: &'a str, kind: &'static Kind) -> Result<Tree<'a>, String> {
    document(body, Shape::of(kind))
}

/// Returns the keys of a document that is one object; the rest is only checked for its syntax.
pub(super) fn keys(body: &str) -> Result<Vec<String>, String> {
    let object: Keys = serde_json::from_str(body).map_err(|error| format!("broken JSON: {error}"))?;
    Ok(object.0)
}

fn document<'a>(body: &'a str, shape: Shape<'_>) -> Result<Tree<'a>, String> {
    let mut deserializer = serde_json::Deserializer::from_str(body);
    let tree = shape.deserialize(&mut deserializer).map_err(|error| format!("broken JSON: {error}"))?;
    deserializer.end().map_err(|error| format!("broken JSON: {error}"))?;
    Ok(tree)
}

/// The expected value; anything, without a kind and a structure.
#[derive(Clone, Copy)]
struct Shape<'o> {
    kind: Option<&'static Kind>,
    structure: Option<&'static Structure>,
    only: Only<'o>,
}

impl Shape<'_> {
    fn of(kind: &'static Kind) -> Self {
        let structure = if let Kind::Structure(structure) = kind { Some(structure.get()) } else { None };
        Self { kind: (!matches!(kind, Kind::Document)).then_some(kind), structure, only: None }
    }

    fn anything() -> Self {
        Self { kind: None, structure: None, only: None }
    }

    fn item(&self) -> Self {
        match self.kind {
            Some(Kind::List(list)) => Self::of(&list.item),
            Some(Kind::Map(map)) => Self::of(&map.value),
            _ => Self::anything(),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Shape<'_> {
    type Value = Tree<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Shape<'_> {
    type Value = Tree<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.kind, self.structure) {
            (_, Some(structure)) => structure.name,
            (Some(kind), None) => kind.label(),
            (None, None) => "anything",
        })
    }

    fn visit_unit<E: Error>(self) -> Result<Tree<'de>, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Tree<'de>, E> {
        match self.kind {
            Some(Kind::Bool) | None => Ok(Tree::Bool(value)),
            Some(_) => Err(E::invalid_type(serde::de::Unexpected::Bool(value), &self)),
        }
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Tree<'de>, E> {
        #[expect(clippy::cast_precision_loss, reason = "the model says that it is a float")]
        let float = value as f64;
        match self.kind {
            Some(Kind::Float) => Ok(Tree::Float(float)),
            Some(Kind::Time(_)) => Ok(scalar::instant(DateTime::from_secs(value))),
            Some(Kind::Integer) | None => Ok(Tree::Int(value)),
            Some(_) => Err(E::invalid_type(serde::de::Unexpected::Signed(value), &self)),
        }
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Tree<'de>, E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            #[expect(clippy::cast_precision_loss, reason = "there is no other way to hold it")]
            Err(_) => self.visit_f64(value as f64),
        }
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Tree<'de>, E> {
        match self.kind {
            Some(Kind::Time(_)) => scalar::seconds(value)
                .map(scalar::instant)
                .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Float(value), &"seconds since 1970")),
            #[expect(clippy::cast_possible_truncation, reason = "only whole numbers, which saturate")]
            Some(Kind::Integer) if value.fract() == 0.0 => Ok(Tree::Int(value as i64)),
            Some(Kind::Float) | None => Ok(Tree::Float(value)),
            Some(_) => Err(E::invalid_type(serde::de::Unexpected::Float(value), &self)),
        }
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Tree<'de>, E> {
        self.text(Cow::Owned(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Tree<'de>, E> {
        self.text(Cow::Owned(value))
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Tree<'de>, E> {
        self.text(Cow::Borrowed(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree<'de>, A::Error> {
        if !matches!(self.kind, Some(Kind::List(_)) | None) || self.structure.is_some() {
            return Err(A::Error::invalid_type(serde::de::Unexpected::Seq, &self));
        }
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self.item())? {
            list.push(item);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree<'de>, A::Error> {
        let Some(structure) = self.structure else { return self.entries(map) };
        let mut entries = Vec::new();
        while let Some(key) = map.next_key_seed(Key)? {
            let member =
                structure.members.iter().find(|member| member.wire == key && member.binding.is_in_response_body());
            match member.filter(|member| self.only.is_none_or(|names| names.contains(&member.name))) {
                Some(member) => match map.next_value_seed(Shape::of(&member.kind))? {
                    Tree::Null => {}
                    value => entries.push((Cow::Borrowed(member.name), value)),
                },
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Tree::Map(entries))
    }
}

impl Shape<'_> {
    fn text<'de, E: Error>(self, text: Cow<'de, str>) -> Result<Tree<'de>, E> {
        match self.kind {
            Some(Kind::Text) | None => Ok(Tree::Text(text)),
            Some(Kind::Blob) => base64::decode(&*text).map(Tree::Blob).map_err(|_| E::custom("bytes not in base64")),
            // Some services write numbers and times as strings, and a number may be NaN or infinite.
            Some(kind @ (Kind::Time(_) | Kind::Float | Kind::Integer | Kind::Bool)) => {
                scalar::value(Cow::Owned(text.into_owned()), kind).map_err(E::custom)
            }
            Some(_) => Err(E::invalid_type(serde::de::Unexpected::Str(&text), &self)),
        }
    }

    fn entries<'de, A: MapAccess<'de>>(self, mut map: A) -> Result<Tree<'de>, A::Error> {
        if !matches!(self.kind, Some(Kind::Map(_)) | None) {
            return Err(A::Error::invalid_type(serde::de::Unexpected::Map, &self));
        }
        let mut entries = Vec::new();
        while let Some(key) = map.next_key_seed(Key)? {
            entries.push((key, map.next_value_seed(self.item())?));
        }
        Ok(Tree::Map(entries))
    }
}

/// The keys of an object.
struct Keys(Vec<String>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Self(Vec::new()))
    }
}

impl<'de> Visitor<'de> for Keys {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self, A::Error> {
        while let Some(key) = map.next_key_seed(Key)? {
            self.0.push(key.into_owned());
            map.next_value::<IgnoredAny>()?;
        }
        Ok(self)
    }
}

/// A key, borrowed if it has no escapes.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(value.to_owned()))
    }
}
