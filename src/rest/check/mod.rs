//! Mistakes of definition files that the parser cannot see.

mod files;

use std::collections::BTreeSet;

pub(super) use files::files;
use toml::Spanned;

use super::{
    api::{Auth, Paging, Verb},
    description::{Description, IN_ACCOUNT},
    operation::{Operation, container},
};
use crate::{
    engine::{
        Path,
        definition::{Call, Condition, Definition, Input, Mistake, Parameter, Service, Source, Template},
    },
    settings::nearest,
};

/// Returns the mistakes of a file's kinds.
pub(super) fn service(description: &Description, service: &Service) -> Vec<Mistake> {
    let mut check = Check { description, mistakes: Vec::new() };
    for kind in &service.kinds {
        check.kind(kind);
    }
    check.mistakes
}

/// Returns the mistakes of the file with `[api]`.
pub(super) fn head(description: &Description) -> Vec<Mistake> {
    let mut check = Check { description, mistakes: Vec::new() };
    check.head();
    check.mistakes
}

struct Check<'d> {
    description: &'d Description,
    mistakes: Vec<Mistake>,
}

/// The names that paths may start at.
type Roots<'r> = BTreeSet<&'r str>;

impl Check<'_> {
    fn add<T>(&mut self, at: &Spanned<T>, what: String) {
        self.mistakes.push(Mistake { at: at.span().start, what });
    }

    fn head(&mut self) {
        let Description { api, accounts, levels, cloud, .. } = self.description;
        let account = accounts.kind.get_ref();
        if !cloud.schema.kind(account).is_some_and(|kind| kind.is_a("account")) {
            self.add(&accounts.kind, format!("{account} has no schema with the base account"));
        } else if cloud.find(account).is_none() {
            self.add(&accounts.kind, format!("there is no [[kind]] {account}, with the properties of the account"));
        }
        let mut known: Vec<&str> = vec![IN_ACCOUNT];
        for level in levels {
            let base = if level.is_zone { "zone" } else { "region" };
            let kind = level.kind.get_ref();
            if !cloud.schema.kind(kind).is_some_and(|kind| kind.is_a(base)) {
                self.add(&level.kind, format!("{kind} is no kind with the base {base}"));
            }
            let scope = level.scope.get_ref().as_str();
            if known.contains(&scope) {
                self.add(&level.scope, format!("there are two levels {scope}"));
            }
            if let Some(within) =
                level.within.as_ref().filter(|within| !known[1..].contains(&within.get_ref().as_str()))
            {
                self.add(within, format!("there is no level {} before this one", within.get_ref()));
            }
            if level.within.is_some() != level.container.is_some() {
                self.add(&level.scope, "within and container belong together".to_owned());
            }
            known.push(scope);
        }
        let roots = Roots::from(["option"]);
        self.template(&api.url, api.url.get_ref(), &roots);
        for operation in api.operations.keys() {
            if self.description.operations.get(operation.get_ref()).is_none() {
                let names = self.description.operations.names();
                let what = unknown("operation", operation.get_ref(), names);
                self.add(operation, what);
            }
        }
        let all = api.operations.values().filter_map(|one| one.pages.as_ref()).chain([&api.pages]);
        for pages in all {
            if matches!(pages, Paging::Cursor { next: None, header: None, .. }) {
                self.add(&api.auth, "pages of the type cursor need next or header".to_owned());
            }
        }
        for pages in api.operations.values().filter_map(|one| one.pages.as_ref()).chain([&api.pages]) {
            if pages.limit().is_some_and(|limit| limit.size == 0) {
                self.add(&api.auth, "a page has at least one item".to_owned());
            }
        }
        self.auth();
        if api.limits.reserve >= 100 {
            self.add(&api.auth, "the reserve of the limits is a share of less than 100 percent".to_owned());
        }
        self.lists();
    }

    fn auth(&mut self) {
        let api = &self.description.api;
        let auth = &api.auth;
        let of_call = match auth.get_ref() {
            Auth::ClientCredentials(call) => {
                let templates = call.headers.values().chain(call.parameters.values()).chain([&call.url]);
                let members = [call.client_id.as_str(), &call.client_secret];
                for path in templates.flat_map(Template::paths).filter(|path| path.root.is_none()) {
                    if !path.first_member().is_some_and(|member| members.contains(&member)) {
                        self.add(auth, unknown("value", &path.to_string(), members));
                    }
                }
                call.headers.keys().collect()
            }
            Auth::Header { header, .. } => vec![header],
            _ => Vec::new(),
        };
        if let Some(value) = api.headers.values().find(|value| value.contains('{')) {
            self.add(auth, format!("the header {value:?} has no templates"));
        }
        for header in of_call.into_iter().chain(api.headers.keys()) {
            if reqwest::header::HeaderName::try_from(header.as_str()).is_err() {
                self.add(auth, format!("the header {header:?} has characters that no header may have"));
            }
        }
        // The mark of an option is no user name.
        let text = api.url.get_ref().to_string().replace("{@", "{");
        if !["https://", "http://"].iter().any(|scheme| text.starts_with(scheme)) || text.contains(['?', '#', '@']) {
            let what = "the address begins with https:// or http://, and has no user name, query or fragment";
            self.add(&api.url, what.to_owned());
        }
    }

    fn lists(&mut self) {
        let Description { accounts, levels, .. } = self.description;
        let roots = Roots::from(["option"]);
        self.source(&accounts.id, &roots);
        accounts.name.iter().for_each(|name| self.source(name, &roots));
        let of_levels = Roots::from(["option", "account"]);
        for level in levels {
            self.source(&level.id, &of_levels);
            level.container.iter().for_each(|container| self.source(container, &of_levels));
        }
        let lists = levels.iter().filter_map(|level| Some((level.list.as_ref()?, &of_levels)));
        for (list, roots) in lists.chain(accounts.list.iter().map(|list| (list, &roots))) {
            self.input(&list.operation, &list.input, roots);
            self.operation(&list.operation, [&list.input]);
        }
    }

    fn kind(&mut self, kind: &Definition) {
        if let Some(parent) = kind.parent.as_ref().filter(|parent| parent.get_ref() == self.description.cloud.account) {
            self.add(parent, format!("children of the account have scope = {IN_ACCOUNT:?}, and no parent"));
        }
        self.several_lists(kind);
        let (name, prefix) = (kind.kind.get_ref(), self.description.cloud.name);
        if !name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('_')) {
            self.add(&kind.kind, format!("the names of the kinds of the collector {prefix} begin with {prefix}_"));
        }
        let calls = kind.calls.iter().map(|call| call.name.as_str());
        let hooks = kind.hooks.iter().map(|hook| hook.hook.get_ref().as_str());
        let parent = kind.parent.as_ref().map(|_| "parent");
        let roots: Roots<'_> =
            calls.chain(hooks).chain(["option", "account", "location", "details"]).chain(parent).collect();
        let fields = kind.properties.values().chain([&kind.id]).chain(&kind.name).chain(&kind.tags);
        fields.for_each(|source| self.source(source, &roots));
        kind.location.iter().for_each(|location| self.source(&location.id, &roots));
        kind.references().for_each(|reference| self.source(&reference.value, &roots));
        let conditions = [&kind.protected, &kind.phantom, &kind.cleaned].into_iter().flatten();
        conditions.for_each(|condition| self.condition(condition, condition.get_ref(), &roots));
        if let Some(list) = &kind.list {
            let mut roots = list_roots(self.description, kind);
            list.each.iter().for_each(|each| self.path(each, each.get_ref(), &roots));
            roots.extend(list.each.as_ref().map(|_| "each"));
            list.inputs.iter().for_each(|input| self.input(input, input.get_ref(), &roots));
            let none = Input::new();
            let inputs: Vec<&Input> = list.inputs.iter().map(Spanned::get_ref).collect();
            self.operation(&list.operation, if inputs.is_empty() { vec![&none] } else { inputs });
        }
        kind.calls.iter().for_each(|call| self.call(call, &roots));
    }

    /// Checks that pages which are counted have one list.
    fn several_lists(&mut self, kind: &Definition) {
        let Some(list) = &kind.list else { return };
        let Some(operation) = self.description.operations.get(list.operation.get_ref()) else { return };
        let is_counted = matches!(operation.pages, Paging::Page { .. } | Paging::Offset { .. });
        let containers: BTreeSet<_> = operation.items.iter().filter_map(|items| Some(container(items)?.0)).collect();
        if is_counted && containers.len() > 1 {
            self.add(
                &list.operation,
                "pages that are counted have one list, and this operation has several".to_owned(),
            );
        }
    }

    fn call(&mut self, call: &Call, roots: &Roots<'_>) {
        let none = Input::new();
        if let Some(input) = &call.input {
            self.input(input, input.get_ref(), roots);
        }
        self.operation(&call.operation, [call.input.as_ref().map_or(&none, Spanned::get_ref)]);
    }

    /// Checks that each set of parameters has those of the operation's path, and that a user's operation only reads.
    fn operation<'i>(&mut self, name: &Spanned<String>, inputs: impl IntoIterator<Item = &'i Input>) {
        let operation = match Operation::parse(name.get_ref(), &self.description.api) {
            Ok(operation) => operation,
            Err(why) => return self.add(name, format!("the operation {:?}: {why}", name.get_ref())),
        };
        if self.description.is_users && operation.verb == Verb::Post {
            self.add(name, "POST: definitions of a user only read, with GET".to_owned());
        }
        for input in inputs {
            let given: Vec<String> = input.keys().map(ToString::to_string).collect();
            if let Some(strange) = given.iter().find(|name| name.starts_with('@')) {
                self.add(name, format!("no parameter is called {strange}"));
            }
            let missing = operation.parameters().find(|parameter| !given.iter().any(|one| one == parameter));
            if let Some(missing) = missing {
                self.add(name, format!("the parameter {missing} of the path is not in the input"));
            }
        }
    }

    fn input<T>(&mut self, at: &Spanned<T>, input: &Input, roots: &Roots<'_>) {
        for (name, parameter) in input {
            self.template(at, name, roots);
            self.parameter(at, parameter, roots);
        }
    }

    fn parameter<T>(&mut self, at: &Spanned<T>, parameter: &Parameter, roots: &Roots<'_>) {
        match parameter {
            Parameter::Bool(_) | Parameter::Int(_) => {}
            Parameter::Text(template) => {
                if let Some(path) = template.paths().find(|path| path.is_list()) {
                    let what =
                        format!("{path} leads to several values, and a parameter has one: list for each with `each`");
                    self.add(at, what);
                }
                self.template(at, template, roots);
            }
            Parameter::List(list) => list.iter().for_each(|one| self.parameter(at, one, roots)),
            Parameter::Map(members) => self.input(at, members, roots),
        }
    }

    fn template<T>(&mut self, at: &Spanned<T>, template: &Template, roots: &Roots<'_>) {
        template.paths().for_each(|path| self.path(at, path, roots));
    }

    fn condition<T>(&mut self, at: &Spanned<T>, condition: &Condition, roots: &Roots<'_>) {
        self.path(at, &condition.path, roots);
    }

    fn source(&mut self, source: &Spanned<Source>, roots: &Roots<'_>) {
        for table in source.get_ref().tables() {
            let paths = table.path.iter().chain(table.first.iter().flatten()).chain(table.all.iter().flatten());
            paths.for_each(|path| self.path(source, path, roots));
            table.template.iter().for_each(|template| self.template(source, template, roots));
            table.condition.iter().chain(&table.when).for_each(|one| self.condition(source, one, roots));
        }
    }

    /// Checks the name at which a path starts, and that of an option.
    fn path<T>(&mut self, at: &Spanned<T>, path: &Path, roots: &Roots<'_>) {
        let Some(root) = path.root.as_deref() else { return };
        if !roots.contains(root) {
            let what = unknown("value", root, roots.iter().copied());
            return self.add(at, what);
        }
        if let Some(option) = path.first_member().filter(|_| root == "option") {
            let defined =
                self.description.options.defined.iter().filter(|one| !one.secret).map(|one| one.name.as_str());
            let names: Vec<&str> = defined.collect();
            if !names.contains(&option) {
                self.add(at, unknown("option", option, names));
            }
        }
    }
}

/// Returns the names at which the parameters of a list may start: those of the parent's item, if there is one.
fn list_roots<'d>(description: &'d Description, kind: &Definition) -> Roots<'d> {
    let mut roots = Roots::from(["option", "account", "location"]);
    let parent = kind.parent.as_ref().and_then(|parent| description.cloud.find(parent.get_ref()));
    if let Some((_, parent)) = parent {
        roots.extend(parent.calls.iter().map(|call| call.name.as_str()));
        roots.extend(parent.hooks.iter().map(|hook| hook.hook.get_ref().as_str()));
        roots.extend(parent.parent.as_ref().map(|_| "parent"));
    }
    roots
}

/// Returns a sentence about an unknown name, with the one that was probably meant or all known ones.
fn unknown<'n>(what: &str, name: &str, known: impl IntoIterator<Item = &'n str>) -> String {
    let mut known: Vec<&str> = known.into_iter().collect();
    known.sort_unstable();
    match nearest(name, known.iter().copied()) {
        Some(meant) => format!("there is no {what} {name}; did you mean {meant}?"),
        None => format!("there is no {what} {name}; there are {}", known.join(", ")),
    }
}
