//! Edges between accounts that are declared by accounts which a delivery does not send.
//!
//! A core that replaces accounts resolves the deferred edges of a task when all accounts have arrived. If it resolves at
//! least one, it then removes all edges that earlier tasks resolved, whichever account declared them. So the edges of
//! accounts that are not sent are sent again.

use super::{CollectorReport, carry_over::Past};
use crate::graph::{Account, OutwardLines};

impl Past<'_> {
    /// Adds the edges that accounts of a cloud declare, as far as the core has them and the accounts were not sent.
    /// Takes one account at a time into memory.
    ///
    /// # Errors
    /// If the core's state cannot be read, or the spool cannot be written.
    pub(super) async fn add_unsent(
        &mut self,
        collector: &CollectorReport,
        is_sent: impl Fn(&str) -> bool,
        lines: &mut OutwardLines,
    ) -> Result<(), String> {
        let planned = collector.units.iter().filter(|unit| !is_sent(&unit.id));
        let mut unsent: Vec<Account> = planned
            .map(|unit| Account { kind: unit.kind.clone(), id: unit.id.clone(), label: unit.label.clone() })
            .collect();
        // A complete plan that lost most accounts may be held for a run.
        if !collector.is_whole || self.hold.is_some() {
            let others = self.others(collector).await?;
            unsent.extend(others.accounts.into_iter().map(|known| known.account));
        }
        for account in unsent {
            let what = format!("cannot read the edges of {} from the core", account.label);
            let known = self.carry(&account.kind, &account.id).await.map_err(|error| format!("{what}: {error}"))?;
            if known.nodes.is_empty() {
                continue;
            }
            let unit = self.keep(&known, account, &collector.name).await.map_err(|error| format!("{what}: {error}"))?;
            lines.append(&unit.outward_lines()).map_err(|error| format!("cannot store edges: {error}"))?;
        }
        Ok(())
    }
}
