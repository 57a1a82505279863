//! Labels. Compute Engine replaces all labels of a resource at once, guarded by the fingerprint of the present ones: the
//! present labels are read, and only the label in question is changed. Other services merge the labels of a call.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::sleep;
use worker_proto::{Failure, Outcome};

use super::FINGERPRINT;
use crate::engine::{
    CallError, Tree,
    change::{Change, conflict_pauses},
};

/// How often labels are read and set, if others change them at the same time.
const TRIES: u32 = 6;
/// The longest pause before the second try. It grows with each.
const PAUSE: Duration = Duration::from_millis(200);
/// The parameter with the link of a resource.
const LINK: &str = "link";

/// Labels as the resource has them.
struct Labels {
    all: Map<String, Value>,
    fingerprint: Option<String>,
}

/// Sets or removes a label of a resource of Compute Engine.
pub(super) async fn set(change: &Change, key: &str, value: Option<&str>) -> Result<Outcome, Failure> {
    if is_absent(change, key, value) {
        return Ok(Outcome::Done);
    }
    let mut tries = Tries::of(change);
    loop {
        let (identity, mut labels) = read(change).await?;
        if identity != change.target.id {
            return Ok(change.is_another("id", &identity));
        }
        let has = labels.all.get(key).and_then(Value::as_str);
        if has == value {
            return Ok(done(labels));
        }
        match value {
            Some(value) => labels.all.insert(key.to_owned(), value.into()),
            None => labels.all.remove(key),
        };
        match replace(change, labels).await {
            Ok(()) => break,
            Err(error) => tries.pause(&error).await?,
        }
    }
    match read(change).await {
        Ok((identity, labels)) if identity == change.target.id => Ok(done(labels)),
        // The label is set. The next change reads the fingerprint anyway.
        _ => Ok(Outcome::Done),
    }
}

/// Sets or removes a label of a bucket.
pub(super) async fn patch_bucket(change: &Change, key: &str, value: Option<&str>) -> Result<Outcome, Failure> {
    patch(change, key, value, |label| ("labels", label)).await
}

/// Sets or removes a label of a database.
pub(super) async fn patch_database(change: &Change, key: &str, value: Option<&str>) -> Result<Outcome, Failure> {
    patch(change, key, value, |label| ("settings", json!({ "userLabels": label }))).await
}

/// Sends the label that changes, and no other: null removes it.
async fn patch(
    change: &Change,
    key: &str,
    value: Option<&str>,
    member: fn(Value) -> (&'static str, Value),
) -> Result<Outcome, Failure> {
    if is_absent(change, key, value) {
        return Ok(Outcome::Done);
    }
    let (name, body) = member(json!({ key: value }));
    let mut input = link(change)?;
    input.insert(name.to_owned(), body);
    let mut tries = Tries::of(change);
    loop {
        if let Some(outcome) = change.namesake().await? {
            return Ok(outcome);
        }
        match change.call("patch", input.clone()).await {
            Ok(_) => return Ok(Outcome::Done),
            Err(error) => tries.pause(&error).await?,
        }
    }
}

/// The tries of a change that other changes of the resource prevent for now.
struct Tries<'c> {
    change: &'c Change,
    made: u32,
    /// The pauses while the resource is in use.
    pauses: Box<dyn Iterator<Item = Duration> + Send>,
}

impl<'c> Tries<'c> {
    fn of(change: &'c Change) -> Self {
        Self { change, made: 0, pauses: Box::new(conflict_pauses()) }
    }

    /// Waits before the next try.
    ///
    /// # Errors
    /// The failure of the last one, if there is none.
    async fn pause(&mut self, error: &CallError) -> Result<(), Failure> {
        self.made += 1;
        let pause = match error.means_changed() {
            true if self.made < TRIES => Some((PAUSE * self.made).mul_f64(fastrand::f64())),
            false if error.means_in_use() => self.pauses.next(),
            _ => None,
        };
        let Some(pause) = pause.filter(|pause| self.change.has_time_for(*pause)) else {
            return Err(self.change.failure(error));
        };
        sleep(pause).await;
        Ok(())
    }
}

/// Returns whether a label is to be removed that the node does not have.
fn is_absent(change: &Change, key: &str, value: Option<&str>) -> bool {
    value.is_none() && change.target.tag(key).is_none()
}

/// Reads the resource's ID and labels.
async fn read(change: &Change) -> Result<(String, Labels), Failure> {
    let response = change.call("get", link(change)?).await.map_err(|error| change.failure(&error))?;
    let tree = response.tree().map_err(|error| change.failure(&error))?;
    let text = |name: &str| tree.get(name).and_then(Tree::text).map(str::to_owned);
    let labels = tree.get("labels").map(Tree::entries).unwrap_or_default();
    let all = labels.iter().filter_map(|(key, value)| Some((key.to_string(), value.text()?.into()))).collect();
    let id = text("id").ok_or_else(|| change.failed("the response has no ID"))?;
    Ok((id, Labels { all, fingerprint: text("labelFingerprint") }))
}

async fn replace(change: &Change, labels: Labels) -> Result<(), CallError> {
    let Labels { all, fingerprint } = labels;
    let mut input =
        Map::from_iter([(LINK.to_owned(), change.target.text(LINK).into()), ("labels".to_owned(), Value::Object(all))]);
    input.extend(fingerprint.map(|fingerprint| ("labelFingerprint".to_owned(), fingerprint.into())));
    change.call("setLabels", input).await.map(|_| ())
}

fn link(change: &Change) -> Result<Map<String, Value>, Failure> {
    let link = change.target.text(LINK).ok_or_else(|| change.failed("the core has no link of it"))?;
    Ok(Map::from_iter([(LINK.to_owned(), link.into())]))
}

/// Returns the outcome of a change after which the resource has these labels.
fn done(labels: Labels) -> Outcome {
    match labels.fingerprint {
        Some(fingerprint) => Outcome::Changed(vec![(FINGERPRINT.to_owned(), fingerprint)]),
        None => Outcome::Done,
    }
}
