//! Identity of resources that are addressed by name: another resource may have the name since the collection. It is not
//! changed.

use std::ops::ControlFlow;

use worker_proto::{Failure, Outcome};

use super::Change;
use crate::graph::Value;

impl Change {
    /// Returns the outcome if another resource has the name now. A deleted resource has none; the calls that follow
    /// report that.
    ///
    /// # Errors
    /// The failed call, or the field that the core lacks.
    pub async fn namesake(&self) -> Result<Option<Outcome>, Failure> {
        let Some(identity) = self.service.identity_of(self.definition) else { return Ok(None) };
        let field = identity.field.get_ref().as_str();
        let collected = if field == "id" { Some(self.target.id.as_str()) } else { self.target.text(field) };
        let collected = collected.ok_or_else(|| self.failed(&format!("the core has no {field} of it")))?;
        let input = self.parameters(self.fields.input(identity.input.get_ref()))?;
        let response = match self.call(identity.operation.get_ref(), input).await {
            Err(error) if error.means_deleted() => return Ok(None),
            response => response.map_err(|error| self.failure(&error))?,
        };
        let answer = response.tree().map_err(|error| self.failure(&error))?;
        let mut found = None;
        let _ = identity.value.get_ref().walk(&answer, &mut |value| {
            found = value.text().map(str::to_owned);
            ControlFlow::Break(())
        });
        let other = found.filter(|found| !self.is_same(field, collected, found));
        Ok(other.map(|other| self.is_another(field, &other)))
    }

    /// Returns the outcome if the resource with the name has another value in the field that identifies it.
    #[must_use]
    pub fn is_another(&self, field: &str, value: &str) -> Outcome {
        self.nothing(&format!("another resource has its name now, with the {field} {value}"))
    }

    /// Returns whether two values of a field are equal. Points in time are equal if they are in the same second:
    /// each API writes them in its own way, and cores store them without a fraction.
    fn is_same(&self, field: &str, collected: &str, found: &str) -> bool {
        let kind = self.cloud.schema.kind(&self.target.kind);
        let field = kind.and_then(|kind| kind.fields.get(kind.position(field)?));
        let seconds = |text: &str| match field?.model_kind.convert(Value::Text(text.to_owned())) {
            Value::Time(time) => Some(time.unix_timestamp()),
            _ => None,
        };
        collected == found || seconds(collected).is_some_and(|collected| Some(collected) == seconds(found))
    }
}
