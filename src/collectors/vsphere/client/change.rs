//! Changes of one machine: its custom attributes, and its deletion.
//!
//! A machine is addressed by the ID of its object, which the server never uses again.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    Client, Page,
    element::Element,
    list::{MACHINE, object_set},
    machine, operation,
    soap::{self, Fault, Object, error, fault},
};
use crate::engine::{CallError, CallErrorKind, Request, code};

/// The pause between two looks at a task: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// How long a deletion may take if its caller sets no limit.
const LONGEST: Duration = Duration::from_secs(300);

impl Client {
    /// Returns the name of a machine.
    pub(super) async fn read(&self, request: &Request<'_>) -> Result<Page, CallError> {
        let (name, _) = self.machine(request).await?;
        Ok(Page::single(json!({ "name": name })))
    }

    /// Returns the name of a machine, and whether it is on.
    async fn machine(&self, request: &Request<'_>) -> Result<(String, bool), CallError> {
        let object = self.object(request, &["name", "runtime.powerState"]).await?;
        let properties = machine::properties(&object);
        // As in a collection, blanks are a part of the name.
        let text = |path: &str| properties.get(path).map(|value| value.text.clone());
        let name = text("name").ok_or_else(|| CallError::unexpected_response("the machine has no name"))?;
        Ok((name, text("runtime.powerState").is_some_and(|state| state.trim() == "poweredOn")))
    }

    /// Reads properties of the machine of a request.
    async fn object(&self, request: &Request<'_>, paths: &[&str]) -> Result<Element, CallError> {
        let machine = target(request)?;
        let (found, _) =
            self.retrieve(None, MACHINE, paths, &object_set(&machine)).await.map_err(|fault| of(fault, &machine))?;
        found.into_iter().next().ok_or_else(|| error(fault::GONE, "the machine does not exist any more"))
    }

    /// Sets a custom attribute, or clears it. One that the server does not know is made for all machines before it is set.
    pub(super) async fn set_attribute(&self, request: &Request<'_>) -> Result<Page, CallError> {
        let text = |name: &str| request.input.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (machine, key) = (target(request)?, text("key"));
        let value = if request.operation == operation::SET { text("value") } else { String::new() };
        let object = self.object(request, &["availableField"]).await?;
        let fields = machine::fields(&machine::properties(&object)).unwrap_or_default();
        let done = || Page::single(Value::Null);
        if !fields.values().any(|name| *name == key) {
            if value.is_empty() {
                return Ok(done());
            }
            self.add_field(request, &key).await?;
        }
        let parameters = soap::text("key", &key) + &soap::text("value", &value);
        let call = |_: &super::Session| (machine.clone(), parameters.clone());
        self.invoke("setCustomValue", request.limit, call).await.map_err(|fault| of(fault, &machine))?;
        Ok(done())
    }

    async fn add_field(&self, request: &Request<'_>, name: &str) -> Result<(), CallError> {
        let session = self.session().await?;
        let Some(fields) = session.content.fields else {
            let message = "the server has no custom attributes; only a vCenter has them";
            return Err(CallError::new(CallErrorKind::Denied, code::CONFIGURATION, message));
        };
        let parameters = soap::text("name", name) + &soap::text("moType", MACHINE);
        let result = self.invoke("AddCustomFieldDef", request.limit, |_| (fields.clone(), parameters.clone())).await;
        match result {
            Ok(_) => Ok(()),
            // Another change was faster.
            Err(fault) if fault.error.code == "DuplicateName" => Ok(()),
            Err(fault) => Err(*fault.error),
        }
    }

    /// Deletes a machine: turns it off if it is on, and destroys it with its files. Both are awaited.
    pub(super) async fn delete(&self, request: &Request<'_>) -> Result<Page, CallError> {
        let end = Instant::now() + request.limit.unwrap_or(LONGEST);
        let machine = target(request)?;
        if self.machine(request).await?.1 {
            match self.task("PowerOffVM_Task", &machine, end).await {
                // Somebody else has turned it off.
                Err(error) if error.code == fault::INVALID_POWER_STATE => {}
                result => result?,
            }
        }
        self.task("Destroy_Task", &machine, end).await?;
        Ok(Page::single(Value::Null))
    }

    /// Begins a task on a machine and waits for its result.
    async fn task(&self, method: &str, machine: &Object, end: Instant) -> Result<(), CallError> {
        let limit = Some(end.saturating_duration_since(Instant::now()));
        let response = self.invoke(method, limit, |_| (machine.clone(), String::new())).await;
        let response = response.map_err(|fault| of(fault, machine))?;
        let id = response.text_of("returnval").unwrap_or_default();
        if id.is_empty() {
            return Err(CallError::unexpected_response("there is no task").of(super::SERVICE, method, &self.host));
        }
        let task = object_set(&Object::new("Task", id));
        let mut pause = PAUSES.0;
        loop {
            let late = || {
                let message = format!("{method} is not complete in time; it may still be carried out");
                CallError::new(CallErrorKind::Unavailable, code::TIMEOUT, message)
            };
            let found = timeout_at(end, self.retrieve(None, "Task", &["info.state", "info.error"], &task)).await;
            let Ok(found) = found else { return Err(late()) };
            let (found, _) = found.map_err(|Fault { mut error, .. }| {
                // The task is gone, and not the machine.
                error.facts.means_deleted = false;
                *error
            })?;
            let info = found.first().map(machine::properties).unwrap_or_default();
            match info.get("info.state").map(|state| state.text.trim()) {
                Some("success") => return Ok(()),
                Some("error") => {
                    let error = failed(info.get("info.error").copied(), machine);
                    return Err(error.of(super::SERVICE, method, &self.host));
                }
                _ if end.saturating_duration_since(Instant::now()) <= pause => return Err(late()),
                _ => sleep(pause).await,
            }
            pause = (pause * 2).min(PAUSES.1);
        }
    }
}

/// Returns the machine of a request.
fn target(request: &Request<'_>) -> Result<Object, CallError> {
    let id = request.input.get("id").and_then(Value::as_str).filter(|id| !id.is_empty());
    id.map(|id| Object::new(MACHINE, id)).ok_or_else(|| CallError::configuration("there is no ID of a machine"))
}

/// Returns the error of a task that failed.
fn failed(info: Option<&Element>, machine: &Object) -> CallError {
    let fault = info.and_then(|info| info.child("fault"));
    let code = fault.and_then(|fault| fault.value_type.as_deref());
    let message = info.and_then(|info| info.text_of("localizedMessage")).unwrap_or("the task failed");
    let object = fault.and_then(|fault| fault.find("obj")).map(|object| object.text.trim().to_owned());
    of(Fault { error: Box::new(error(code.unwrap_or("TaskFailed"), message)), object }, machine)
}

/// Returns the error of a fault. Only one about the machine itself means that it does not exist any more: a datastore or
/// a host may be gone instead.
fn of(fault: Fault, machine: &Object) -> CallError {
    let Fault { mut error, object } = fault;
    error.facts.means_deleted &= object.as_ref() == Some(&machine.id);
    if let Some(object) = object.filter(|object| *object != machine.id) {
        error.message = format!("{} ({object})", error.message).into();
    }
    *error
}
