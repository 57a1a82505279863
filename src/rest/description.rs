//! A collector's description: its definition files, parsed and checked, as the engine and the client need them.

use std::collections::BTreeSet;

use super::{
    api::Api,
    check,
    code::Code,
    files::{File, Parsed},
    operation::Operations,
    options::Options,
    source::{Accounts, LevelTable},
};
use crate::{
    engine::{Cloud, Definitions, Hook, Level, LevelNode, LocationPart, change::ChangeHooks},
    graph::{KindSpec, Schema},
};

/// The scope of kinds that are children of the account.
pub(super) const IN_ACCOUNT: &str = "account";

/// The most mistakes in one message.
const MAX_MISTAKES: usize = 20;

/// A collector by definition.
pub(super) struct Description {
    pub(super) api: Api,
    pub(super) accounts: Accounts,
    pub(super) levels: Vec<LevelTable>,
    pub(super) options: Options,
    pub(super) operations: Operations,
    pub(super) cloud: Cloud,
    /// Its kinds.
    pub(super) kinds: Vec<KindSpec>,
    /// See [`Parts::code`].
    pub(super) code: Code,
    /// See [`Parts::is_users`].
    pub(super) is_users: bool,
}

/// What belongs to a collector beside its files.
pub(super) struct Parts {
    /// Kinds without a schema beside their definition.
    pub(super) kinds: Vec<KindSpec>,
    /// The hooks.
    pub(super) hooks: &'static [&'static dyn Hook],
    /// Code for what definitions cannot express.
    pub(super) code: Code,
    /// Whether the files are a user's, which may only read.
    pub(super) is_users: bool,
}

impl Description {
    /// Reads the files of one collector.
    ///
    /// The description lives as long as the program: so do a collector's options and kinds.
    ///
    /// # Errors
    /// The mistakes, with file and line, each in a line of its own.
    pub(super) fn read(files: &[File<'_>], parts: Parts) -> Result<&'static Self, String> {
        let parsed = files.iter().map(|file| file.parse()).collect::<Result<Vec<_>, _>>()?;
        let mut mistakes = check::files(&parsed, parts.is_users);
        fail(&mut mistakes)?;
        let name = parsed.first().map(|one| one.head.collector.get_ref().clone()).unwrap_or_default();
        let title = parsed.iter().find_map(|one| one.head.title.clone()).unwrap_or_else(|| name.clone());
        let name: &'static str = name.leak();
        let options = options(name, &parsed)?;
        let texts: Vec<File<'_>> = parsed.iter().map(|one| one.file).collect();
        let main = parsed.iter().find(|one| one.head.api.is_some()).map(|one| one.file);
        let (mut api, mut accounts, mut levels, mut services) = (None, None, Vec::new(), Vec::new());
        for one in parsed {
            api = api.or(one.head.api);
            accounts = accounts.or(one.head.account);
            levels.extend(one.head.levels);
            services.push(one.service);
        }
        let (Some(main), Some(api), Some(accounts)) = (main, api, accounts) else {
            return Err(format!("no file of the collector {name} has [api]"));
        };
        let definitions: &'static Definitions = Box::leak(Box::new(Definitions::of(services)));
        let mut kinds = parts.kinds;
        kinds.extend(definitions.kinds(name));
        kinds.extend(base(name, &kinds));
        let schema: &'static Schema =
            Box::leak(Box::new(Schema::of(kinds.clone()).map_err(|error| error.to_string())?));
        let cloud = Cloud {
            name,
            title: title.leak(),
            account: accounts.kind.get_ref().clone().leak(),
            levels: engine_levels(&levels).leak(),
            definitions,
            schema,
            hooks: parts.hooks,
            change_hooks: ChangeHooks::default(),
        };
        let operations = Operations::of(&api, &accounts, &levels, definitions);
        let description = Self {
            api,
            accounts,
            levels,
            options,
            operations,
            cloud,
            kinds,
            code: parts.code,
            is_users: parts.is_users,
        };
        for (service, file) in definitions.services.iter().zip(&texts) {
            let found = description.cloud.mistakes(service);
            mistakes.extend(found.iter().map(|mistake| file.located(mistake)));
            mistakes.extend(check::service(&description, service).iter().map(|mistake| file.located(mistake)));
        }
        mistakes.extend(check::head(&description).iter().map(|mistake| main.located(mistake)));
        fail(&mut mistakes)?;
        Ok(Box::leak(Box::new(description)))
    }
}

fn options(name: &str, parsed: &[Parsed<'_>]) -> Result<Options, String> {
    let with_api = parsed.iter().find_map(|one| Some((one, one.head.api.as_ref()?)));
    let Some((one, api)) = with_api else { return Err(format!("no file of the collector {name} has [api]")) };
    let options = Options::of(name, &one.head, api.auth.get_ref());
    options.map_err(|what| one.file.at(api.auth.span().start, &what))
}

/// Returns the kind that all kinds of a collector without a list of its own are derived from.
fn base(name: &str, kinds: &[KindSpec]) -> Option<KindSpec> {
    let fqn = format!("{name}_resource");
    let is_known = kinds.iter().any(|kind| kind.fqn == fqn);
    (!is_known).then(|| KindSpec { fqn, origin: format!("kinds of {name}"), ..KindSpec::default() })
}

/// Returns the levels, after that of the account itself. Their names are never freed.
fn engine_levels(tables: &[LevelTable]) -> Vec<Level> {
    let leaked = |text: &str| -> &'static str { text.to_owned().leak() };
    let of_tables = tables.iter().map(|table| Level {
        scope: leaked(table.scope.get_ref()),
        within: table.within.as_ref().map(|within| leaked(within.get_ref())),
        node: Some(LevelNode {
            kind: leaked(table.kind.get_ref()),
            part: if table.is_zone { LocationPart::Zone } else { LocationPart::Region },
        }),
    });
    std::iter::once(Level { scope: IN_ACCOUNT, within: None, node: None }).chain(of_tables).collect()
}

fn fail(mistakes: &mut Vec<String>) -> Result<(), String> {
    if mistakes.is_empty() {
        return Ok(());
    }
    let unique: BTreeSet<String> = mistakes.drain(..).collect();
    let more = unique.len().saturating_sub(MAX_MISTAKES);
    let mut lines: Vec<String> = unique.into_iter().take(MAX_MISTAKES).collect();
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    Err(lines.join("\n"))
}
