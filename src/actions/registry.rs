//! The registry of actions.

use super::{cleanup::Cleanup, tag::Tag};
use crate::{
    settings::{OptionGroup, Settings},
    supervisor::actions::{Action, EnabledAction},
};

/// Returns all actions, in the order in which their options are listed and in which they subscribe.
#[must_use]
pub fn all() -> &'static [&'static dyn Action] {
    &[&Cleanup, &Tag]
}

/// Returns the options of all actions.
#[must_use]
pub fn options() -> Vec<&'static OptionGroup> {
    all().iter().map(|action| action.options()).collect()
}

/// Returns the actions that these settings enable; `settings` finds those of an action by its name.
#[must_use]
pub fn enabled(settings: impl Fn(&str) -> Option<Settings>) -> Vec<EnabledAction> {
    let with_settings = all().iter().map(|action| {
        let settings = settings(action.name()).unwrap_or_else(|| Settings::defaults(action.options().options));
        EnabledAction { action: *action, settings }
    });
    with_settings.filter(|enabled| enabled.action.is_enabled(&enabled.settings)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The rules that no action may break, so that the scheduler and the core can tell actions apart.
    #[test]
    fn actions_keep_the_rules() {
        let names: BTreeSet<&str> = all().iter().map(|action| action.name()).collect();
        assert_eq!(names.len(), all().len(), "each name is there once");
        let mut served = BTreeSet::new();
        for action in all() {
            let name = action.name();
            assert_eq!(action.options().name, name);
            assert!(action.subscriptions().len() + action.tasks().len() > 0, "{name} is never asked for");
            for subscription in action.subscriptions() {
                let served_here = (subscription.subscriber, subscription.action);
                assert!(served.insert(format!("{served_here:?}")), "two actions have {served_here:?}");
            }
            for task in action.tasks() {
                assert!(served.insert((*task).to_owned()), "two actions take the task {task}");
            }
            assert!(action.excludes().iter().all(|other| names.contains(other)), "{name} excludes an unknown action");
            let limits = action.limits();
            assert!(limits.running > 0, "{name} never runs");
        }
    }
}
