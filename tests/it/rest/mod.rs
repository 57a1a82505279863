//! Collectors by definition: Slack and OneLogin against a local server of both, and users' own.

mod definitions;
mod definitions_hints;
mod definitions_hostile;
mod saas;
mod saas_github;
mod saas_unseen;
