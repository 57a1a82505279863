//! The head of a definition file: the collector's name, its API, accounts and options, and the levels of locations.
//! `docs/definitions.md` documents the format.

use serde::Deserialize;
use toml::Spanned;

use super::api::Api;
use crate::engine::{
    Path,
    definition::{Input, Source},
};

/// The keys of a head. The rest of a file is the definition of a service.
pub(super) const HEAD: [&str; 7] = ["source", "collector", "title", "api", "account", "level", "option"];

/// The head of a file. Of the files of one collector, one has `api` and `account`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    /// The kind of API that the file is for: `rest`.
    pub(super) source: Spanned<String>,
    /// The collector's name, which is the ID of the cloud's node.
    pub(super) collector: Spanned<String>,
    /// The name in messages; the collector's name if absent.
    pub(super) title: Option<String>,
    /// The API.
    pub(super) api: Option<Api>,
    /// The accounts.
    pub(super) account: Option<Accounts>,
    /// The levels of locations, each after the one that contains it.
    #[serde(default, rename = "level")]
    pub(super) levels: Vec<LevelTable>,
    /// Options beside those that every collector of this source has.
    #[serde(default, rename = "option")]
    pub(super) options: Vec<OptionTable>,
}

/// The accounts of an API.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Accounts {
    /// The kind of their nodes.
    pub(super) kind: Spanned<String>,
    /// The call that lists them. Without one, there is one account, made of options.
    pub(super) list: Option<Listing>,
    /// The ID.
    pub(super) id: Spanned<Source>,
    /// The name in messages; the ID if absent.
    pub(super) name: Option<Spanned<Source>>,
}

/// A call that lists accounts or locations.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listing {
    /// The operation.
    pub(super) operation: Spanned<String>,
    /// Its parameters.
    #[serde(default)]
    pub(super) input: Input,
    /// The path to each item.
    pub(super) items: Spanned<Path>,
}

/// A level of locations.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LevelTable {
    /// The name in definitions.
    pub(super) scope: Spanned<String>,
    /// The kind of the nodes.
    pub(super) kind: Spanned<String>,
    /// The level that contains its locations; the account if absent.
    pub(super) within: Option<Spanned<String>>,
    /// Whether its locations are the zones in the IDs of resources, instead of the regions.
    #[serde(default)]
    pub(super) is_zone: bool,
    /// The call that lists them. Without one, there is one location.
    pub(super) list: Option<Listing>,
    /// The ID.
    pub(super) id: Spanned<Source>,
    /// The ID of the location that contains it.
    pub(super) container: Option<Spanned<Source>>,
}

/// An option of the collector.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OptionTable {
    /// The name without that of the collector.
    pub(super) name: Spanned<String>,
    /// The type of the value.
    #[serde(default, rename = "type")]
    pub(super) kind: OptionType,
    /// The help text, one line.
    pub(super) help: String,
    /// The default.
    pub(super) default: Option<String>,
    /// Whether it is a secret, which only the call for a token uses.
    #[serde(default)]
    pub(super) secret: bool,
    /// A variable that other programs have for it.
    pub(super) variable: Option<String>,
    /// For a flag, the texts that paths find if it is set, and if not.
    pub(super) texts: Option<[String; 2]>,
}

/// The type of an option.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum OptionType {
    /// A string.
    #[default]
    Text,
    /// A flag.
    Flag,
    /// A list of strings.
    List,
}
