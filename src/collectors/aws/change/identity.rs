//! What is addressed by a name may have been deleted and made anew since it was collected: the new one stays.

use std::ops::ControlFlow;

use worker_proto::{Failure, Outcome};

use super::Change;

impl Change {
    /// Why nothing is done if a namesake has taken its place. One that is gone has none; calls about it will tell.
    pub(super) async fn namesake(&self) -> Result<Option<Outcome>, Failure> {
        let Some(identity) = &self.definition.identity else { return Ok(None) };
        let field = identity.field.get_ref().as_str();
        let collected = if field == "id" { Some(self.target.id.as_str()) } else { self.target.text(field) };
        let collected = collected.ok_or_else(|| self.failed(&format!("the core knows no {field} of it")))?;
        let input = self.parameters(self.fields.input(identity.input.get_ref()))?;
        let reply = match self.call(identity.operation.get_ref(), input).await {
            Err(error) if error.means_deleted() => return Ok(None),
            reply => reply.map_err(|error| self.failure(&error))?,
        };
        let answer = reply.tree().map_err(|error| self.failure(&error))?;
        let mut found = None;
        let _ = identity.value.get_ref().walk(&answer, &mut |value| {
            found = value.text().map(str::to_owned);
            ControlFlow::Break(())
        });
        let other = found.filter(|found| found != collected);
        Ok(other.map(|other| self.nothing(&format!("what has its name now is another one, with the {field} {other}"))))
    }
}
