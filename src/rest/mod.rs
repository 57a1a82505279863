//! Collectors by definition: a REST API, its accounts and its kinds, written as data.
//!
//! A [`RestCollector`] is made of definition files. Their heads (`source`, `api`) describe the API and what its
//! accounts are; the rest is the engine's format. `files` parses them, `check` finds mistakes, and `description` has
//! the result, with the options (`options`) and operations (`operation`). `client` makes calls, with what `broker`
//! gives it for their authorization; `account` plans the accounts and tells the engine about one of them.

mod account;
mod api;
mod broker;
mod check;
mod client;
pub(crate) mod code;
mod description;
mod files;
mod operation;
mod options;
mod source;

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use api::Auth;
use code::Code;
use description::{Description, Parts};
use files::File;
use options::{Common, Options};
use reqwest::Url;
use worker_proto::{Failure, FailureKind, Plan, Unit};

use crate::{
    collector_api::{
        BoxFuture, Broker, CollectContext, Collector, Concurrency, EdgeOwner, NamedAttributes, Uncollected,
    },
    engine::{
        Hook, Tree, code as error_code,
        collect::uncollected_kinds,
        eval::{Item, Named},
        http::check_endpoint,
    },
    graph::{KindFile, KindSpec, SchemaError},
    settings::{OptionSpec, Settings, check_names},
};

/// A collector that definition files describe.
pub struct RestCollector {
    name: &'static str,
    files: &'static [(&'static str, &'static str)],
    kinds: Option<KindFile>,
    hooks: &'static [&'static dyn Hook],
    code: Code,
    is_users: bool,
    description: OnceLock<Result<&'static Description, String>>,
    /// The options, which the command line needs of collectors that are not enabled too.
    options: OnceLock<&'static [OptionSpec]>,
}

impl RestCollector {
    /// Returns a collector that is a part of the program: its files by name, its kinds without a schema beside their
    /// definition, and its hooks.
    #[must_use]
    pub const fn new(
        name: &'static str,
        files: &'static [(&'static str, &'static str)],
        kinds: KindFile,
        hooks: &'static [&'static dyn Hook],
    ) -> Self {
        let description = OnceLock::new();
        Self {
            name,
            files,
            kinds: Some(kinds),
            hooks,
            code: Code::NONE,
            is_users: false,
            description,
            options: OnceLock::new(),
        }
    }

    /// Returns such a collector with code for what definitions cannot express.
    #[must_use]
    pub(crate) const fn with_code(
        name: &'static str,
        files: &'static [(&'static str, &'static str)],
        kinds: KindFile,
        code: Code,
    ) -> Self {
        Self {
            name,
            files,
            kinds: Some(kinds),
            hooks: &[],
            code,
            is_users: false,
            description: OnceLock::new(),
            options: OnceLock::new(),
        }
    }

    /// Returns the collectors that a user's files describe, given by name and text.
    ///
    /// # Errors
    /// The mistakes, with file and line.
    pub fn of_user(files: &[(String, String)]) -> Result<Vec<Self>, String> {
        let mut by_name: BTreeMap<String, Vec<&(String, String)>> = BTreeMap::new();
        for file in files {
            let (name, text) = file;
            let parsed = File { name, text }.parse()?;
            by_name.entry(parsed.head.collector.into_inner()).or_default().push(file);
        }
        by_name.values().map(|files| Self::of_one(files)).collect()
    }

    /// Returns the collector of its files.
    fn of_one(files: &[&(String, String)]) -> Result<Self, String> {
        let leaked = |text: &String| -> &'static str { text.clone().leak() };
        let files: Vec<_> = files.iter().map(|(name, text)| (leaked(name), leaked(text))).collect();
        let mut collector = Self {
            name: "",
            files: files.leak(),
            kinds: None,
            hooks: &[],
            code: Code::NONE,
            is_users: true,
            description: OnceLock::new(),
            options: OnceLock::new(),
        };
        collector.name = collector.description()?.cloud.name;
        Ok(collector)
    }

    /// Returns the names and texts of the files.
    #[must_use]
    pub fn files(&self) -> &'static [(&'static str, &'static str)] {
        self.files
    }

    /// Returns the description, read at the first call.
    fn description(&self) -> Result<&'static Description, String> {
        let read = || {
            let files: Vec<File<'_>> = self.files.iter().map(|(name, text)| File { name, text }).collect();
            let kinds = self.kinds.as_ref().map_or(Ok(Vec::new()), KindFile::parse);
            let kinds = kinds.map_err(|error| error.to_string())?;
            Description::read(&files, Parts { kinds, hooks: self.hooks, code: self.code, is_users: self.is_users })
        };
        self.description.get_or_init(read).clone()
    }

    /// Returns the options of a collector of the program, from the heads of its files alone. A test reads them all.
    fn own_options(&self) -> Option<&'static [OptionSpec]> {
        let heads = self.files.iter().filter_map(|(name, text)| File { name, text }.head().ok());
        let (head, api) = heads.filter_map(|mut head| head.api.take().map(|api| (head, api))).next()?;
        Some(Options::of(self.name, &head, api.auth.get_ref()).ok()?.specs)
    }

    fn described(&self) -> Result<&'static Description, Failure> {
        self.description().map_err(|mistake| Failure {
            kind: FailureKind::Internal,
            message: format!("collector {}: {mistake}; please report this bug", self.name),
        })
    }
}

impl Description {
    /// Returns the address in front of all paths.
    fn base(&self, settings: &Settings) -> Result<Url, String> {
        let null = Tree::Null;
        let options = self.options.tree(settings);
        let item = Item { tree: &null, named: vec![Named::whole("option", &options)], failed: Vec::new() };
        let own = || item.fill(self.api.url.get_ref());
        let url = Common::of(&self.cloud, settings).endpoint.or_else(own);
        let url = url.ok_or_else(|| format!("the address of {} lacks the value of an option", self.cloud.title))?;
        Url::parse(&url).map_err(|error| format!("the address {url} of {}: {error}", self.cloud.title))
    }

    /// Checks the settings.
    fn check(&self, settings: &Settings) -> Result<(), String> {
        let name = self.cloud.name;
        let common = Common::of(&self.cloud, settings);
        for path in self.api.url.get_ref().paths() {
            let option = self.options.defined.iter().find(|one| path.first_member() == Some(one.name.as_str()));
            let Some(option) = option else { continue };
            let value = settings.text(option.full_name).unwrap_or_default();
            let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            if value.is_empty() || !value.bytes().all(is_part) {
                let option = option.full_name;
                return Err(format!("--{option} {value:?}: it is a part of an address: letters, digits and - only"));
            }
        }
        if let Some(endpoint) = &common.endpoint {
            check_endpoint(&format!("{name}-endpoint-url"), endpoint)?;
        }
        let names = self.cloud.definitions.names(&[], &[]);
        for (option, given) in [("collect", &common.selection.collect), ("no-collect", &common.selection.exclude)] {
            check_names(&format!("{name}-{option}"), given, &names)?;
        }
        Ok(())
    }
}

impl Collector for RestCollector {
    fn name(&self) -> &'static str {
        self.name
    }

    fn options(&self) -> &'static [OptionSpec] {
        self.options.get_or_init(|| match self.is_users {
            true => self.description().map_or(&[], |description| description.options.specs),
            false => self.own_options().unwrap_or(&[]),
        })
    }

    fn kinds(&self) -> Result<Vec<KindSpec>, SchemaError> {
        let malformed = |reason| SchemaError::Malformed { plugin: self.name.to_owned(), reason };
        Ok(self.description().map_err(malformed)?.kinds.clone())
    }

    fn advice(&self, code: &str) -> Option<&'static str> {
        let api = &self.description().ok()?.api;
        let is_denied = code == "403" || api.errors.denied.iter().any(|denied| denied == code);
        let usual = match code {
            _ if is_denied => Some("allow the credentials to make this call"),
            error_code::MISSING_ID if self.is_users => Some("correct id of the kind in the definition file"),
            error_code::INVALID_VALUE if self.is_users => {
                Some("correct the field's type or its path in the definition file")
            }
            error_code::INVALID_RESPONSE if self.is_users => {
                Some("correct items or pages in the definition file, or check what answers instead of the API")
            }
            error_code::CONFIGURATION if self.is_users => Some("correct the definition file"),
            _ => None,
        };
        api.advice.get(code).map(String::as_str).or(usual)
    }

    fn definitions(&self) -> &'static [(&'static str, &'static str)] {
        if self.is_users { self.files } else { &[] }
    }

    fn check(&self, settings: &Settings) -> Result<(), String> {
        self.description()?.check(settings)
    }

    fn concurrency(&self, settings: &Settings) -> Concurrency {
        let Ok(description) = self.description() else { return Concurrency { fork: false, pool: 1 } };
        let Common { fork, pool, .. } = Common::of(&description.cloud, settings);
        Concurrency { fork, pool }
    }

    fn uncollected(&self, settings: &Settings) -> Uncollected {
        let Ok(description) = self.description() else { return Uncollected::default() };
        let selection = Common::of(&description.cloud, settings).selection;
        Uncollected { kinds: uncollected_kinds(&description.cloud, &selection), regions: None }
    }

    fn broker(&self, settings: &Settings) -> Option<Arc<dyn Broker>> {
        let description = self.description().ok()?;
        let is_needed = !matches!(description.api.auth.get_ref(), Auth::None {});
        is_needed.then(|| Arc::new(broker::RestBroker::new(description, settings)) as Arc<dyn Broker>)
    }

    fn plan<'a>(&'a self, context: &'a CollectContext) -> BoxFuture<'a, Result<Plan, Failure>> {
        Box::pin(async { account::plan(self.described()?, context).await })
    }

    fn collect<'a>(&'a self, context: &'a CollectContext, unit: &'a Unit) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async { account::collect(self.described()?, context, unit).await })
    }

    fn named(&self) -> Option<&'static NamedAttributes> {
        Some(self.description().ok()?.cloud.definitions.named())
    }

    fn edge_owner(&self, from: &str, to: &str) -> Option<EdgeOwner> {
        self.description().ok()?.cloud.definitions.edge_owner(from, to)
    }
}
