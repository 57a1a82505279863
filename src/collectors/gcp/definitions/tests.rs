//! Every definition against the service models and the kinds.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{collections::BTreeSet, path::Path as FilePath};

use super::{FILES, kinds};
use crate::{
    collectors::gcp::{
        client::model::{self, Kind},
        cloud::cloud,
        hooks,
    },
    engine::{
        Path,
        definition::{Definition, Service, Source},
        path::Step,
    },
};

/// A mistake: where in the file, and what.
type Mistake = (usize, String);

/// Where the paths of a kind may start.
struct Roots<'d> {
    item: Option<&'static Kind>,
    parent: Option<&'static Kind>,
    definition: &'d Definition,
}

fn walk(kind: &'static Kind, steps: &[Step]) -> Result<&'static Kind, String> {
    steps.iter().try_fold(kind, Kind::step).map_err(|error| error.to_string())
}

/// The item of a kind; `None` if the engine's caller makes it.
fn item(service: &Service, definition: &Definition) -> Result<Option<&'static Kind>, String> {
    let method = |name: &str| model::method(&service.service, name).ok_or_else(|| format!("there is no method {name}"));
    let kind_of = |name: &str, path: &Path| method(name)?.output_kind(path).map_err(|error| error.to_string());
    let path = |text: &str| Path::parse(text).unwrap();
    match (&definition.list, definition.kind.get_ref().as_str()) {
        (Some(list), _) => kind_of(list.operation.get_ref(), list.items.get_ref()).map(Some),
        (None, "gcp_project") => kind_of("projects.list", &path("projects[]")).map(Some),
        (None, "gcp_region") => kind_of("regions.list", &path("items[]")).map(Some),
        (None, "gcp_zone") => kind_of("zones.list", &path("items[]")).map(Some),
        (None, _) => match (parent(service, definition)?, &definition.items) {
            (Some(parent), Some(items)) => walk(parent, &items.get_ref().steps).map(Some),
            _ => Ok(None),
        },
    }
}

fn parent(service: &Service, definition: &Definition) -> Result<Option<&'static Kind>, String> {
    let Some(parent) = &definition.parent else { return Ok(None) };
    item(service, service.kinds.iter().find(|kind| kind.kind.get_ref() == parent.get_ref()).unwrap())
}

impl Roots<'_> {
    fn check(&self, path: &Path) -> Result<(), String> {
        let start = match path.root.as_deref() {
            None => self.item,
            Some("parent") => self.parent,
            Some(name) => {
                let is_used = self.definition.hooks.iter().any(|used| used.hook.get_ref() == name);
                let hook = cloud().unwrap().hook(name).filter(|_| is_used).ok_or(format!("there is no @{name}"))?;
                let is_value = path.first_member().is_some_and(|value| hook.values().contains(&value));
                return is_value.then_some(()).ok_or(format!("{path} is no value of the hook"));
            }
        };
        let end = walk(start.ok_or(format!("{path} has no start"))?, &path.steps)?;
        match end {
            Kind::Text | Kind::Time | Kind::Long => Ok(()),
            _ if path.part.is_some() => Err(format!("{path} is a {}, which has no parts", end.label())),
            _ => Ok(()),
        }
    }

    fn source(&self, source: &Source) -> Vec<String> {
        let mut paths = Vec::new();
        for table in source.tables() {
            paths.extend(table.path.iter().chain(table.first.iter().flatten()).chain(table.all.iter().flatten()));
            paths.extend(table.condition.iter().chain(&table.when).map(|condition| &condition.path));
        }
        paths.into_iter().filter_map(|path| self.check(path).err()).collect()
    }
}

/// The mistakes of a kind's own sources. Those of the file's defaults may lead to nothing.
fn mistakes_of(service: &Service, definition: &Definition) -> Vec<Mistake> {
    let at = definition.list.as_ref().map_or(&definition.kind, |list| &list.operation).span().start;
    let (found, parent) = match (item(service, definition), parent(service, definition)) {
        (Ok(found), Ok(parent)) => (found, parent),
        (Err(why), _) | (_, Err(why)) => return vec![(at, why)],
    };
    let roots = Roots { item: found, parent, definition };
    let defaults = &service.defaults;
    let shared: BTreeSet<usize> = [&defaults.id, &defaults.name, &defaults.tags]
        .into_iter()
        .flatten()
        .chain(defaults.properties.values())
        .chain(defaults.location.iter().map(|location| &location.id))
        .map(|source| source.span().start)
        .collect();
    let named = [Some(&definition.id), definition.name.as_ref(), definition.tags.as_ref()];
    let sources = named.into_iter().flatten().chain(definition.properties.values());
    let sources = sources.chain(definition.references().map(|reference| &reference.value));
    let sources = sources.chain(definition.location.iter().map(|location| &location.id));
    let own = sources.filter(|source| !shared.contains(&source.span().start));
    own.flat_map(|source| roots.source(source.get_ref()).into_iter().map(|why| (source.span().start, why))).collect()
}

/// All mistakes of a file, as `file:line: what`.
fn mistakes(file: &str, text: &str) -> Vec<String> {
    let service = match Service::parse(text) {
        Ok(service) => service,
        Err(error) => return vec![format!("{file}: {error}")],
    };
    let general = cloud().unwrap().mistakes(&service).into_iter().map(|mistake| (mistake.at, mistake.what));
    let found = general.chain(service.kinds.iter().flat_map(|definition| mistakes_of(&service, definition)));
    let line = |at: usize| text[..at].lines().count().max(1);
    found.map(|(at, what)| format!("{file}:{}: {what}", line(at + 1))).collect()
}

#[test]
fn definitions_agree_with_models_and_schema() {
    let found: Vec<String> = FILES.iter().flat_map(|(file, text)| mistakes(file, text)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert_eq!(cloud().unwrap().unknown_levels(), [""; 0]);
}

/// The methods of a kind's collection: those of its list.
fn methods_of(service: &Service, definition: &Definition) -> Vec<&'static str> {
    let listed = definition.list.as_ref().map(|list| list.operation.get_ref().as_str()).unwrap_or_default();
    let collection = listed.split('.').next().unwrap();
    let service = model::service(&service.service).unwrap();
    let methods = service.methods().filter(|method| method.name.split('.').next() == Some(collection));
    methods.map(|method| method.action()).collect()
}

#[test]
fn changes_are_methods_of_the_collections() {
    for (service, definition) in cloud().unwrap().definitions.iter() {
        let (kind, methods) = (definition.kind.get_ref(), methods_of(service, definition));
        let made = [
            service.delete_of(definition).map(|call| &call.operation),
            service.identity_of(definition).map(|identity| &identity.operation),
        ];
        let states = definition.undeletable.iter().filter_map(|state| state.call.as_ref()).map(|call| &call.operation);
        for operation in made.into_iter().flatten().chain(states) {
            assert!(methods.contains(&operation.get_ref().as_str()), "{kind}: {} of {methods:?}", operation.get_ref());
        }
        let tagged = definition.tag_hook.as_ref().map(|hook| hook.get_ref().starts_with("set_"));
        let action = match tagged {
            Some(true) => "setLabels",
            Some(false) => "patch",
            None => "get",
        };
        assert!(!definition.deletable || methods.contains(&action), "{kind}: {action}");
        // Whatever can have labels is labelled.
        assert_eq!(methods.contains(&"setLabels"), tagged == Some(true), "{kind}");
        assert!(definition.list.is_none() || definition.deletable, "{kind}");
        if let Some(identity) = service.identity_of(definition) {
            let found = item(service, definition).unwrap().unwrap();
            assert!(walk(found, &identity.value.get_ref().steps).is_ok(), "{kind}: {}", identity.value.get_ref());
        }
    }
}

#[test]
fn deletion_order_of_kinds_has_no_circle() {
    assert_eq!(cloud().unwrap().deletion_circles(), BTreeSet::new());
}

#[test]
fn mistake_is_reported_with_file_and_line() {
    let (_, text) = FILES.iter().find(|(file, _)| *file == "compute.toml").unwrap();
    for (right, wrong, expected) in [
        ("\"instances.aggregatedList\"", "\"instances.all\"", "there is no method instances.all"),
        ("items[*].instances[]", "items[*].machines[]", "has no member machines"),
        ("\"networkInterfaces[].network\"", "\"interfaces[].network\"", "has no member interfaces"),
        ("@machine_type.cores", "@machine_type.core", "@machine_type.core is no value of the hook"),
        ("@backends.instances", "@backend.instances", "there is no @backend"),
        ("region_status = \"status\"", "region_state = \"status\"", "gcp_region has no field region_state"),
        ("items = \"quotas[]\"", "items = \"quota[]\"", "has no member quota"),
        ("\"@parent.creationTimestamp\"", "\"@parent.created\"", "has no member created"),
        ("hook = \"disk_type\"", "hook = \"disk\"", "there is no hook disk"),
    ] {
        assert!(text.contains(right), "{right}");
        let line = text[..text.find(right).unwrap()].lines().count();
        let found = mistakes("compute.toml", &text.replacen(right, wrong, 1)).join("\n");
        assert!(found.contains(expected), "{wrong}: {found}");
        let lines = [format!("compute.toml:{line}:"), format!("compute.toml:{}:", line + 1)];
        // A path through the parent's item is a mistake of the kind.
        let is_near = lines.iter().any(|line| found.contains(line.as_str())) || wrong.contains("quota");
        assert!(is_near, "{wrong} at {line}: {found}");
    }
}

#[test]
fn every_file_is_part_of_the_program() {
    let directory = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("src/collectors/gcp/definitions");
    let names = directory.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let on_disk: BTreeSet<String> = names.filter(|name| name.ends_with(".toml")).collect();
    assert_eq!(on_disk, FILES.iter().map(|(name, _)| (*name).to_owned()).collect());
}

/// The Python worker's kinds that it never had in a graph, and neither do we.
const NEVER_COLLECTED: [&str; 3] = ["gcp_global_forwarding_rule", "gcp_global_network_endpoint_group", "gcp_resource"];

#[test]
fn every_kind_is_collected() {
    let cloud = cloud().unwrap();
    let defined = cloud.definitions.iter().map(|(_, definition)| definition.kind.get_ref().as_str());
    let made = cloud.hooks.iter().flat_map(|hook| hook.kinds().iter().copied());
    let collected: BTreeSet<&str> = defined.chain(made).chain(NEVER_COLLECTED).collect();
    let kinds = kinds().unwrap();
    assert_eq!(collected, kinds.iter().map(|kind| kind.fqn.as_str()).collect());
}

#[test]
fn names_of_the_python_worker_select_kinds() {
    // The names in `--gcp-collect`, in the order of the Python worker. Regions and zones are always collected.
    let known = "services networks subnetworks routers routes health_checks http_health_checks https_health_checks \
        machine_types instances disk_types disks target_vpn_gateways vpn_gateways vpn_tunnels security_policies snapshots \
        ssl_certificates network_endpoint_groups instance_groups instance_group_managers autoscalers backend_services \
        url_maps target_pools target_instances target_http_proxies target_https_proxies target_ssl_proxies \
        target_tcp_proxies target_grpc_proxies forwarding_rules buckets databases instance_templates";
    let defined = cloud().unwrap().definitions.collectors().chain(hooks::SELECTABLE);
    assert_eq!(defined.collect::<BTreeSet<_>>(), known.split_whitespace().collect());
}
