//! The options of a collector by definition, and their values.

use std::collections::HashSet;

use super::{
    api::Auth,
    source::{Head, OptionTable, OptionType},
};
use crate::{
    engine::{Cloud, Tree, collect::Selection},
    settings::{OptionKind, OptionSpec, Settings},
};

/// The largest pool size that an option accepts.
const MAX_POOL: u64 = 1000;

/// Locations of an account that are collected at the same time.
const LOCATIONS_AT_ONCE: usize = 20;

/// An option of a definition file.
#[derive(Debug)]
pub(super) struct DefinedOption {
    /// The name in paths.
    pub(super) name: String,
    /// The whole name.
    pub(super) full_name: &'static str,
    kind: OptionType,
    /// Whether only calls for tokens may use it.
    pub(super) secret: bool,
    texts: Option<[String; 2]>,
}

/// The options of a collector.
#[derive(Debug)]
pub(super) struct Options {
    /// All options, for the command line.
    pub(super) specs: &'static [OptionSpec],
    /// Those of the definition file.
    pub(super) defined: Vec<DefinedOption>,
}

/// The names of the options that every collector of this source has, without that of the collector.
const COMMON: [&str; 6] = ["endpoint-url", "do-not-verify-cert", "collect", "no-collect", "pool-size", "fork"];

impl Options {
    /// Returns the options of a collector. The texts are never freed: they belong to the program's command line.
    ///
    /// # Errors
    /// The name of an option that exists already.
    pub(super) fn of(collector: &str, head: &Head, auth: &Auth) -> Result<Self, String> {
        let full = |name: &str| -> &'static str { format!("{collector}-{name}").leak() };
        let (mut specs, mut defined, mut names) = (Vec::new(), Vec::new(), HashSet::from(COMMON.map(str::to_owned)));
        let needed = auth.options().into_iter().map(|(name, help, secret)| implied(name, help, secret));
        let tables: Vec<&OptionTable> = head.options.iter().collect();
        let needed: Vec<OptionTable> =
            needed.filter(|one| !tables.iter().any(|table| table.name == one.name)).collect();
        for table in tables.into_iter().chain(&needed) {
            let name = table.name.get_ref();
            if !names.insert(name.clone()) {
                return Err(format!("there are two options {name}"));
            }
            let is_secret = table.secret || auth.options().iter().any(|(known, _, secret)| known == name && *secret);
            specs.push(spec(table, full(name), is_secret));
            defined.push(DefinedOption {
                name: name.clone(),
                full_name: full(name),
                kind: table.kind,
                secret: is_secret,
                texts: table.texts.clone(),
            });
        }
        let [endpoint, verify, collect, no_collect, pool, fork] = COMMON.map(full);
        specs.extend([
            OptionSpec::text(endpoint, "URL of the API, for a proxy or an installation of your own"),
            OptionSpec::flag(verify, "Do not verify the certificate of the API (insecure)"),
            OptionSpec::list(collect, "What to collect, by name (default: everything)"),
            OptionSpec::list(no_collect, "What not to collect, by name"),
            OptionSpec::integer(pool, 5, (1, MAX_POOL), "Accounts to collect at the same time"),
            OptionSpec::flag(fork, "Collect each account in its own process"),
        ]);
        Ok(Self { specs: specs.leak(), defined })
    }

    /// Returns the options without secrets as a tree, which paths find as `@option`.
    pub(super) fn tree(&self, settings: &Settings) -> Tree<'static> {
        let public = self.defined.iter().filter(|option| !option.secret);
        Tree::Map(public.filter_map(|option| Some((option.name.clone().into(), value(option, settings)?))).collect())
    }
}

/// Returns the value of an option for paths; `None` if it was not given.
fn value(option: &DefinedOption, settings: &Settings) -> Option<Tree<'static>> {
    Some(match option.kind {
        OptionType::Text => Tree::Text(settings.text(option.full_name)?.to_owned().into()),
        OptionType::List => {
            Tree::List(settings.list(option.full_name).iter().map(|one| Tree::Text(one.clone().into())).collect())
        }
        OptionType::Flag => match (&option.texts, settings.flag(option.full_name)) {
            (None, is_set) => Tree::Bool(is_set),
            (Some([set, _]), true) => Tree::Text(set.clone().into()),
            (Some([_, unset]), false) => Tree::Text(unset.clone().into()),
        },
    })
}

fn implied(name: &str, help: &str, secret: bool) -> OptionTable {
    OptionTable {
        name: toml::Spanned::new(0..0, name.to_owned()),
        kind: OptionType::Text,
        help: help.to_owned(),
        default: None,
        secret,
        variable: None,
        texts: None,
    }
}

fn spec(table: &OptionTable, full_name: &'static str, secret: bool) -> OptionSpec {
    let text = |text: &String| -> &'static str { text.clone().leak() };
    let kind = match table.kind {
        OptionType::Text => OptionKind::Text { default: table.default.as_ref().map(text) },
        OptionType::Flag => OptionKind::Flag,
        OptionType::List => OptionKind::List { default: &[] },
    };
    OptionSpec {
        name: full_name,
        short: None,
        kind,
        help: text(&table.help),
        secret,
        empty: false,
        variable: table.variable.as_ref().map(text),
    }
}

/// The values of the options that every collector of this source has.
#[derive(Debug)]
pub(super) struct Common {
    /// `--…-endpoint-url`, without a slash at its end.
    pub(super) endpoint: Option<String>,
    /// `--…-do-not-verify-cert`.
    pub(super) is_unverified: bool,
    /// `--…-pool-size`, at least 1.
    pub(super) pool: usize,
    /// `--…-fork`.
    pub(super) fork: bool,
    /// What is collected of an account.
    pub(super) selection: Selection,
}

impl Common {
    /// Reads the options of a collector.
    pub(super) fn of(cloud: &Cloud, settings: &Settings) -> Self {
        let collector = cloud.name;
        let [endpoint, verify, collect, no_collect, pool, fork] = COMMON.map(|name| format!("{collector}-{name}"));
        let pool = settings.integer(&pool).and_then(|size| usize::try_from(size).ok());
        Self {
            endpoint: settings.text(&endpoint).map(|url| url.trim_end_matches('/').to_owned()),
            is_unverified: settings.flag(&verify),
            pool: pool.unwrap_or(1).max(1),
            fork: settings.flag(&fork),
            selection: Selection {
                collect: settings.list(&collect).to_vec(),
                exclude: settings.list(&no_collect).to_vec(),
                only_if_named: cloud.definitions.only_if_named().map(str::to_owned).collect(),
                has_some_locations: false,
                locations_at_once: LOCATIONS_AT_ONCE,
                keep_uncollected: settings.flag("keep-uncollected"),
            },
        }
    }
}
