//! The model: which kinds there are, and whether values fit them, as strictly as the real core.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::python::{dumps, literal, repr, text, type_name};

const SIMPLE: [&str; 11] = [
    "string",
    "int32",
    "int64",
    "float",
    "double",
    "any",
    "boolean",
    "date",
    "datetime",
    "duration",
    "trafo.duration_to_datetime",
];

/// Members that the core computes, with the odd message that they lead to.
const COMPUTED: [&str; 3] = ["age", "last_update", "last_access"];

/// A refusal: the class of the exception and its message.
#[derive(Debug)]
pub(super) struct Refusal(pub(super) &'static str, pub(super) String);

/// Why a value does not fit.
#[derive(Debug)]
pub(super) enum Misfit {
    /// A reason, which the kinds around it add to.
    Reason(String),
    /// An exception that passes through as it is.
    Raised(String),
}

impl Misfit {
    /// As `repr` writes the exception.
    pub(super) fn repr(&self) -> String {
        match self {
            Misfit::Reason(reason) => format!("AttributeError({})", repr(reason)),
            Misfit::Raised(exception) => exception.clone(),
        }
    }
}

fn reason<T>(text: String) -> Result<T, Misfit> {
    Err(Misfit::Reason(text))
}

#[derive(Clone, Debug, PartialEq)]
struct Property {
    name: String,
    kind: String,
    required: bool,
}

#[derive(Clone, Debug)]
struct Kind {
    bases: Vec<String>,
    properties: Vec<Property>,
    allow_unknown: bool,
    is_simple: bool,
}

/// All kinds by name.
#[derive(Clone, Debug)]
pub(crate) struct Model(BTreeMap<String, Kind>);

impl Model {
    /// What the core knows by itself.
    pub(super) fn builtin() -> Self {
        let simple = Kind { bases: vec![], properties: vec![], allow_unknown: false, is_simple: true };
        let mut kinds: BTreeMap<_, _> = SIMPLE.iter().map(|name| ((*name).to_owned(), simple.clone())).collect();
        let property = |name: &str, kind: &str| Property { name: name.into(), kind: kind.into(), required: false };
        let properties = vec![property("kind", "string"), property("ctime", "datetime")];
        let predefined = Kind { bases: vec![], properties, allow_unknown: false, is_simple: false };
        kinds.insert("predefined_properties".to_owned(), predefined);
        Self(kinds)
    }

    /// Adds or replaces kinds; all or nothing.
    pub(super) fn update(&mut self, body: &[u8]) -> Result<(), Refusal> {
        let value: Value = serde_json::from_slice(body)
            .map_err(|error| Refusal("JSONDecodeError", format!("Expecting value: {error}")))?;
        let list = value.as_array().cloned().unwrap_or_else(|| vec![Value::from("fqn")]);
        let mut next = self.clone();
        let mut names = Vec::new();
        for (index, value) in list.iter().enumerate() {
            let (name, kind) = read_kind(value).map_err(|why| {
                Refusal("DeserializationError", format!("Could not deserialize element at index {index}. {why}"))
            })?;
            next.0.insert(name.clone(), kind);
            names.push(name);
        }
        for name in &names {
            next.check_kind(name)?;
            self.check_unique(name, &next)?;
        }
        *self = next;
        Ok(())
    }

    fn check_kind(&self, name: &str) -> Result<(), Refusal> {
        let kind = &self.0[name];
        if let Some(base) = kind.bases.iter().find(|base| !self.0.contains_key(*base)) {
            return Err(Refusal("KeyError", repr(base)));
        }
        for property in &kind.properties {
            if !self.knows(&property.kind) {
                let text = format!("Property kind is not known: {}. Have you registered it?", property.kind);
                return Err(Refusal("AttributeError", text));
            }
        }
        Ok(())
    }

    fn knows(&self, kind: &str) -> bool {
        if let Some(item) = kind.strip_suffix("[]") {
            return self.knows(item);
        }
        match dictionary(kind) {
            Some((key, value)) => self.knows(key) && self.knows(value),
            None => self.0.contains_key(kind),
        }
    }

    /// A property that some kind has already cannot have another type.
    fn check_unique(&self, name: &str, next: &Model) -> Result<(), Refusal> {
        let tolerated = |a: &str, b: &str| a == b || [a, b].contains(&"any") || [("string", "duration")] == [(a, b)];
        for property in &next.0[name].properties {
            let olds = self.0.values().flat_map(|kind| &kind.properties).filter(|old| old.name == property.name);
            let simple = |kind: &str| SIMPLE.contains(&kind);
            for old in olds.filter(|old| simple(&old.kind) && simple(&property.kind)) {
                if !tolerated(&old.kind, &property.kind) && !tolerated(&property.kind, &old.kind) {
                    let text = format!(
                        "Update not possible. {name}: following properties would be non unique having the same path but \
                         different type: {} ({} -> {})",
                        old.name, old.kind, property.kind
                    );
                    return Err(Refusal("AttributeError", text));
                }
            }
        }
        Ok(())
    }

    /// A kind and all kinds that it derives from.
    pub(super) fn lineage(&self, kind: &str) -> Vec<String> {
        let mut names = vec![kind.to_owned()];
        let mut index = 0;
        while index < names.len() {
            for base in self.0.get(&names[index]).map(|kind| kind.bases.clone()).unwrap_or_default() {
                if !names.contains(&base) {
                    names.push(base);
                }
            }
            index += 1;
        }
        names
    }

    pub(super) fn has(&self, kind: &str) -> bool {
        self.0.contains_key(kind)
    }

    /// Checks the reported section of a node and gives it back with normalised dates.
    pub(super) fn check(&self, reported: &Map<String, Value>) -> Result<Value, Misfit> {
        let Some(kind) = reported.get("kind") else {
            return reason(format!("No attribute kind found in {}", literal(&Value::Object(reported.clone()))));
        };
        let kind = text(kind);
        match self.0.get(&kind) {
            None => reason(format!("No kind definition found for {kind}")),
            Some(found) if found.is_simple => reason(format!("Expected type {kind} but got dict")),
            Some(_) => self.complex(&kind, reported),
        }
    }

    fn property(&self, kind: &str, name: &str) -> Option<&Property> {
        let lineage = self.lineage(kind).into_iter().chain(["predefined_properties".to_owned()]);
        let mut kinds = lineage.filter_map(|kind| self.0.get(&kind));
        kinds.find_map(|kind| kind.properties.iter().find(|property| property.name == name))
    }

    fn complex(&self, kind: &str, value: &Map<String, Value>) -> Result<Value, Misfit> {
        let whole = Value::Object(value.clone());
        if value.keys().any(|name| COMPUTED.contains(&name.as_str())) {
            return reason("Kind:predefined_properties Property:id is not defined in model!".to_owned());
        }
        let mut checked = Map::new();
        for (name, value) in value {
            let Some(property) = self.property(kind, name) else {
                if self.0[kind].allow_unknown {
                    checked.insert(name.clone(), value.clone());
                    continue;
                }
                return reason(format!("Kind:{kind} Property:{name} is not defined in model!"));
            };
            if value.is_null() && property.required {
                return reason(format!("Required property {name} is undefined!"));
            }
            let fit = if value.is_null() { Ok(Value::Null) } else { self.value(&property.kind, value) };
            let fit = fit.map_err(|misfit| match misfit {
                Misfit::Reason(why) => {
                    Misfit::Reason(format!("Kind:{kind} Property:{name} is not valid: {why}: {}", dumps(&whole)))
                }
                raised @ Misfit::Raised(_) => raised,
            })?;
            checked.insert(name.clone(), fit);
        }
        for ancestor in self.lineage(kind) {
            for property in self.0.get(&ancestor).into_iter().flat_map(|kind| &kind.properties) {
                if property.required && !value.contains_key(&property.name) {
                    let (name, whole) = (&property.name, dumps(&whole));
                    return reason(format!("Kind:{kind} Property:{name} is required and missing in {whole}"));
                }
            }
        }
        Ok(Value::Object(checked))
    }

    fn value(&self, kind: &str, value: &Value) -> Result<Value, Misfit> {
        if let Some(item) = kind.strip_suffix("[]") {
            let Some(list) = value.as_array() else {
                return reason("Expected property is not an array!".to_owned());
            };
            let items = list.iter().map(|element| {
                let fit = self.value(item, element)?;
                if item == "datetime" && fit != *element {
                    return reason("'str' object has no attribute 'value'".to_owned());
                }
                Ok(fit)
            });
            return items.collect::<Result<_, _>>().map(Value::Array);
        }
        if let Some((_, item)) = dictionary(kind) {
            return self.dictionary(kind, item, value);
        }
        match self.0.get(kind) {
            Some(found) if !found.is_simple => match value.as_object() {
                Some(object) => self.complex(kind, object),
                None => reason("Kind:{self.fqn} expected a complex type but got this: {obj}".to_owned()),
            },
            _ => simple(kind, value),
        }
    }

    fn dictionary(&self, kind: &str, item: &str, value: &Value) -> Result<Value, Misfit> {
        let Some(map) = value.as_object() else {
            return reason(format!("dictionary requires a json object, but got this: {}", text(value)));
        };
        for value in map.values() {
            self.value(item, value).map_err(|misfit| match misfit {
                Misfit::Reason(why) => Misfit::Reason(format!("value of {kind} is not valid: {why}")),
                raised @ Misfit::Raised(_) => raised,
            })?;
        }
        Ok(value.clone())
    }
}

fn dictionary(kind: &str) -> Option<(&str, &str)> {
    kind.strip_prefix("dictionary[")?.strip_suffix(']')?.split_once(", ")
}

fn read_kind(value: &Value) -> Result<(String, Kind), String> {
    let unreadable = || {
        let value = text(value);
        format!(
            "Could not deserialize value \"{value}\" into \"core.model.model.Kind\". Given type can not be read.: line 1 \
             column 1 (char 0)"
        )
    };
    let field = |name: &str| value.get(name).and_then(Value::as_str);
    let name = field("fqn").ok_or_else(unreadable)?.to_owned();
    if let Some(runtime_kind) = field("runtime_kind") {
        let known = SIMPLE.contains(&runtime_kind);
        let kind = Kind { bases: vec![], properties: vec![], allow_unknown: false, is_simple: true };
        return known.then_some((name, kind)).ok_or_else(unreadable);
    }
    let (bases, properties) = (value.get("bases"), value.get("properties"));
    if bases.is_none() && properties.is_none() {
        return Err(unreadable());
    }
    let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    let bases = list(bases).iter().map(text).collect();
    let properties: Result<_, _> = list(properties).iter().map(read_property).collect();
    let allow_unknown = value.get("allow_unknown_props") == Some(&Value::Bool(true));
    Ok((name, Kind { bases, properties: properties?, allow_unknown, is_simple: false }))
}

fn read_property(value: &Value) -> Result<Property, String> {
    let part = |name: &str| {
        let part = value.get(name).and_then(Value::as_str).map(str::to_owned);
        part.ok_or_else(|| format!("No value found for \"{name}\"."))
    };
    let required = value.get("required") == Some(&Value::Bool(true));
    Ok(Property { name: part("name")?, kind: part("kind")?, required })
}

fn simple(kind: &str, value: &Value) -> Result<Value, Misfit> {
    let expected = |what: &str| reason(format!("Expected {what} but got {}", type_name(value)));
    match (kind, value) {
        ("any", _) | ("string", Value::String(_)) | ("boolean", Value::Bool(_)) => Ok(value.clone()),
        ("int32" | "int64" | "float" | "double", Value::Number(_) | Value::Bool(_)) => Ok(value.clone()),
        ("int32" | "int64" | "float" | "double", _) => reason(format!("Expected number but got {}", text(value))),
        ("date", Value::String(text)) => {
            if is_date(text) {
                Ok(value.clone())
            } else {
                Err(not_iso(text))
            }
        }
        ("datetime", Value::String(text)) => datetime(text).map(Value::from).ok_or_else(|| not_iso(text)),
        ("duration", Value::String(text)) if is_duration(text) => Ok(value.clone()),
        ("duration", Value::String(text)) => {
            reason(format!("Wrong format for duration: {text}. Examples: 2w, 4h3m, 2weeks, 1second"))
        }
        _ => expected(&format!("type {kind}")),
    }
}

fn not_iso(text: &str) -> Misfit {
    Misfit::Raised(format!("ValueError({})", repr(&format!("Invalid isoformat string: {}", repr(text)))))
}

/// Whether the text has the form: `0` stands for a digit.
fn has_form(text: &str, form: &str) -> bool {
    let fits = |(t, f): (u8, u8)| if f == b'0' { t.is_ascii_digit() } else { t == f };
    text.len() == form.len() && text.bytes().zip(form.bytes()).all(fits)
}

fn is_date(text: &str) -> bool {
    has_form(text, "0000-00-00")
}

/// A time in UTC and without a fraction, if it is one.
fn datetime(text: &str) -> Option<String> {
    if has_form(text, "0000-00-00T00:00:00Z") {
        return Some(text.to_owned());
    }
    let (date, rest) = text.split_at_checked(10)?;
    let mut parts = date.splitn(3, '-').map(str::parse::<i32>);
    let (year, month, day) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    let month = time::Month::try_from(u8::try_from(month).ok()?).ok()?;
    let date = is_date(date).then(|| time::Date::from_calendar_date(year, month, u8::try_from(day).ok()?).ok())??;
    let (clock, offset) = if rest.is_empty() { ((0, 0, 0), 0) } else { clock(&rest[1..])? };
    let local = date.with_hms(clock.0, clock.1, clock.2).ok()?.assume_utc();
    let utc = local - time::Duration::minutes(offset);
    let form = time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    utc.format(&form).ok()
}

/// Hours, minutes, seconds, and minutes east of UTC.
fn clock(text: &str) -> Option<((u8, u8, u8), i64)> {
    let (clock, offset) = match text.find(['+', '-']) {
        Some(index) => (&text[..index], offset(&text[index..])?),
        None => (text, 0),
    };
    let (whole, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    if !has_form(whole, "00:00:00") || !["", "000", "000000"].iter().any(|form| has_form(fraction, form)) {
        return None;
    }
    let part = |from: usize| whole[from..from + 2].parse().ok();
    Some(((part(0)?, part(3)?, part(6)?), offset))
}

fn offset(text: &str) -> Option<i64> {
    let (sign, rest) = text.split_at(1);
    if !has_form(rest, "00:00") {
        return None;
    }
    let minutes = rest[..2].parse::<i64>().ok()? * 60 + rest[3..].parse::<i64>().ok()?;
    Some(if sign == "-" { -minutes } else { minutes })
}

fn is_duration(text: &str) -> bool {
    const UNITS: [&str; 14] =
        ["s", "m", "h", "d", "w", "M", "y", "second", "minute", "hour", "day", "week", "month", "year"];
    fn parts(text: &str) -> bool {
        let number = text.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
        let (number, rest) = text.split_at(number);
        let ends = |rest: &str| rest.is_empty() || parts(rest);
        !number.is_empty()
            && UNITS
                .iter()
                .filter_map(|unit| rest.strip_prefix(unit))
                .any(|rest| ends(rest) || rest.strip_prefix('s').is_some_and(ends))
    }
    parts(text.strip_prefix(['+', '-']).unwrap_or(text))
}
