//! The service models: operations, their inputs and outputs.
//!
//! The models are text embedded in the binary (`../../models`, with a README that describes the format). An operation
//! or structure is found by binary search in the sorted lines when it is first needed, and parsed once per process.
//! Parsed ones are never freed, as the embedded text bounds them.

mod kind;
#[cfg(test)]
mod tests;
mod walk;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{OnceLock, PoisonError, RwLock},
};

pub use kind::{Binding, Kind, ListShape, MapShape, Member, Structure, StructureRef, TimeForm};
pub use walk::PathError;

use crate::{
    collectors::aws::services::{SERVICES, ServiceFiles},
    engine::Path,
};

/// The protocol of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Form fields in, XML out.
    Query,
    /// EC2's dialect of [`Protocol::Query`].
    Ec2,
    /// JSON in and out, the operation in a header.
    Json,
    /// JSON in and out, the operation in method and path.
    RestJson,
    /// XML in and out, the operation in method and path.
    RestXml,
}

/// The variant of AWS Signature Version 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// The general variant.
    V4,
    /// The variant of S3: the path is signed as it is sent, and a header has the hash of the body. The operations
    /// address a bucket, which may have its own host.
    S3,
}

/// A service.
#[derive(Debug)]
pub struct Service {
    /// The name in `botocore`, such as `elbv2`.
    pub name: &'static str,
    /// The official ID, such as `Elastic Load Balancing v2`, from which the names of settings are derived.
    pub id: &'static str,
    /// The protocol of its API.
    pub protocol: Protocol,
    /// The version of its API, a date.
    pub version: &'static str,
    /// The service name in signatures.
    pub signing: &'static str,
    /// How requests are signed, and whether they address buckets.
    pub signature: Signature,
    /// For [`Protocol::Json`]: `1.0` or `1.1`.
    pub json: &'static str,
    /// For [`Protocol::Json`]: the prefix of the operation in `X-Amz-Target`.
    pub target: &'static str,
    /// Whether error codes are those of an earlier query protocol, given in a header.
    pub query_compatible: bool,
    operations: &'static str,
    structures: &'static str,
    parsed_operations: Parsed<Operation>,
    parsed_structures: Parsed<Structure>,
}

/// Parsed lines by name.
type Parsed<T> = RwLock<HashMap<&'static str, &'static T>>;

/// An operation of a service.
#[derive(Debug)]
pub struct Operation {
    /// The operation's service.
    pub service: &'static Service,
    /// The name, such as `DescribeInstances`.
    pub name: &'static str,
    /// The HTTP method.
    pub method: &'static str,
    /// The path and query with `{Parameters}` in braces.
    pub uri: &'static str,
    /// The structure of its parameters.
    pub input: Option<StructureRef>,
    /// The structure of its response.
    pub output: Option<StructureRef>,
    /// How to follow pages; `None` if there is one page.
    pub paginator: Option<Paginator>,
    /// The element around the output, in XML of [`Protocol::Query`].
    pub(super) wrapper: Option<&'static str>,
    /// The root element of the input, in XML.
    pub(super) root: Option<&'static str>,
    /// The namespace of that element.
    pub(super) namespace: Option<&'static str>,
    /// Whether the body must have a checksum.
    pub(super) checksum: bool,
    /// Whether the root element of the response is itself the only member.
    pub(super) unwrapped: bool,
    /// The possible root elements of a response of [`Protocol::RestXml`].
    reply_roots: Vec<&'static str>,
}

/// How to follow the pages of an operation.
#[derive(Debug, Default)]
pub struct Paginator {
    /// The parameters for the tokens of [`Paginator::output`], in the same order.
    pub input: Vec<&'static str>,
    /// The paths to the tokens of the next page; of several alternatives the first that is present counts.
    pub output: Vec<Vec<Path>>,
    /// The path to a member that says whether there are more pages.
    pub more: Option<Path>,
    /// The parameter for the page size.
    pub limit: Option<&'static str>,
    /// The largest page size, at most 1000.
    pub size: Option<u32>,
    /// The paths to the items of a page.
    pub results: Vec<Path>,
}

/// The services with a model, by name, each parsed when it is first needed.
fn parsed_services() -> &'static BTreeMap<&'static str, Lazy> {
    static PARSED: OnceLock<BTreeMap<&'static str, Lazy>> = OnceLock::new();
    let model = |service: &ServiceFiles| Some((service.name, Lazy { text: service.model?, parsed: OnceLock::new() }));
    PARSED.get_or_init(|| SERVICES.iter().filter_map(model).collect())
}

/// The text of a service, and the parsed service.
struct Lazy {
    text: &'static str,
    parsed: OnceLock<Option<Service>>,
}

/// Iterates over the names of all services with a model.
pub fn services() -> impl Iterator<Item = &'static str> {
    parsed_services().keys().copied()
}

/// Returns the service with this name.
#[must_use]
pub fn service(name: &str) -> Option<&'static Service> {
    let service = parsed_services().get(name)?;
    service.parsed.get_or_init(|| Service::parse(service.text)).as_ref()
}

/// Returns the operation of a service by name.
#[must_use]
pub fn operation(service_name: &str, name: &str) -> Option<&'static Operation> {
    service(service_name)?.operation(name)
}

impl Service {
    pub(super) fn parse(text: &'static str) -> Option<Self> {
        let (head, rest) = text.split_once("\n\n")?;
        let (operations, structures) = rest.split_once("\n\n")?;
        let value = |key: &str| {
            let values = head.lines().filter_map(|line| line.split_once(' '));
            values.filter(|(known, _)| *known == key).map(|(_, value)| value).next()
        };
        Some(Self {
            name: value("service")?,
            id: value("id")?,
            protocol: Protocol::parse(value("protocol")?)?,
            version: value("version")?,
            signing: value("signing")?,
            signature: if value("signature") == Some("s3") { Signature::S3 } else { Signature::V4 },
            json: value("json").unwrap_or_default(),
            target: value("target").unwrap_or_default(),
            query_compatible: value("query-compatible").is_some(),
            operations,
            structures,
            parsed_operations: RwLock::default(),
            parsed_structures: RwLock::default(),
        })
    }

    /// Returns the operation with this name.
    #[must_use]
    pub fn operation(&'static self, name: &str) -> Option<&'static Operation> {
        parsed(&self.parsed_operations, name, || {
            Operation::parse(self, find_line(self.operations, name, '\t')?).map(|operation| (operation.name, operation))
        })
    }

    /// Iterates over the names of all operations.
    pub fn operations(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.operations.lines().filter_map(|line| line.split('\t').next())
    }

    /// Returns the structure with this name.
    #[must_use]
    pub fn structure(&'static self, name: &str) -> Option<&'static Structure> {
        parsed(&self.parsed_structures, name, || {
            let line = find_line(self.structures, name, ' ')?;
            Structure::parse(self, line).map(|structure| (structure.name, structure))
        })
    }
}

/// Returns a parsed line from the cache, or parses it.
fn parsed<T>(cache: &Parsed<T>, name: &str, parse: impl FnOnce() -> Option<(&'static str, T)>) -> Option<&'static T> {
    if let Some(known) = cache.read().unwrap_or_else(PoisonError::into_inner).get(name) {
        return Some(known);
    }
    let (name, value) = parse()?;
    let mut cache = cache.write().unwrap_or_else(PoisonError::into_inner);
    // Another thread may have been faster; its value stays.
    Some(cache.entry(name).or_insert_with(|| Box::leak(Box::new(value))))
}

/// Returns the line that begins with `name` and the separator, or is `name`, among lines sorted by name.
fn find_line(mut text: &'static str, name: &str, separator: char) -> Option<&'static str> {
    while !text.is_empty() {
        let middle = text.floor_char_boundary(text.len() / 2);
        let start = text[..middle].rfind('\n').map_or(0, |at| at + 1);
        let end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let line = &text[start..end];
        match line.split(separator).next().unwrap_or(line).cmp(name) {
            std::cmp::Ordering::Equal => return Some(line),
            std::cmp::Ordering::Less => text = text.get(end + 1..).unwrap_or_default(),
            std::cmp::Ordering::Greater => text = &text[..start.saturating_sub(1)],
        }
    }
    None
}

impl Protocol {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "query" => Self::Query,
            "ec2" => Self::Ec2,
            "json" => Self::Json,
            "rest-json" => Self::RestJson,
            "rest-xml" => Self::RestXml,
            _ => return None,
        })
    }
}

impl Operation {
    fn parse(service: &'static Service, line: &'static str) -> Option<Self> {
        let mut fields = line.split('\t');
        let mut operation = Self {
            service,
            name: fields.next()?,
            method: fields.next()?,
            uri: fields.next()?,
            input: StructureRef::of(service, fields.next()?),
            output: StructureRef::of(service, fields.next()?),
            paginator: None,
            wrapper: None,
            root: None,
            namespace: None,
            checksum: false,
            unwrapped: false,
            reply_roots: Vec::new(),
        };
        for (key, value) in fields.filter_map(|field| field.split_once('=')) {
            operation.set(key, value)?;
        }
        Some(operation)
    }

    /// Returns whether an XML response of this operation has this root element. If the model names none, any but HTML's
    /// is accepted.
    pub(super) fn is_reply_root(&self, name: &str) -> bool {
        match self.service.protocol {
            Protocol::Ec2 | Protocol::Query => name.strip_suffix("Response") == Some(self.name),
            _ if self.reply_roots.is_empty() => !name.eq_ignore_ascii_case("html"),
            _ => self.reply_roots.contains(&name),
        }
    }

    fn set(&mut self, key: &str, value: &'static str) -> Option<()> {
        match key {
            "wrapper" => self.wrapper = Some(value),
            "root" => self.root = Some(value),
            "xmlns" => self.namespace = Some(value),
            "checksum" => self.checksum = true,
            "unwrapped" => self.unwrapped = true,
            "reply" => self.reply_roots = value.split(',').collect(),
            _ => self.paginator.get_or_insert_default().set(key, value)?,
        }
        Some(())
    }
}

impl Paginator {
    fn set(&mut self, key: &str, value: &'static str) -> Option<()> {
        let path = |text: &str| Path::parse(text.trim()).ok();
        match key {
            "in" => self.input = value.split(',').collect(),
            "out" => {
                let alternatives = |expression: &str| expression.split("||").map(path).collect();
                self.output = value.split(',').map(alternatives).collect::<Option<_>>()?;
            }
            "more" => self.more = Some(path(value)?),
            "limit" => self.limit = Some(value),
            "size" => self.size = value.parse().ok(),
            "results" => self.results = value.split(',').map(path).collect::<Option<_>>()?,
            _ => {}
        }
        Some(())
    }
}
