//! The envelope of calls and of their responses, and the meaning of faults.

use quick_xml::escape::escape;
use serde::{Deserialize, Serialize};

use super::{SERVICE, element::Element};
use crate::engine::{CallError, CallErrorKind, ErrorFacts};

/// The codes of faults that code decides by.
pub(crate) mod fault {
    /// The object does not exist any more.
    pub(crate) const GONE: &str = "ManagedObjectNotFound";
    /// The session does not exist any more.
    pub(crate) const NOT_AUTHENTICATED: &str = "NotAuthenticated";
    /// The server does not know a property.
    pub(crate) const INVALID_PROPERTY: &str = "InvalidProperty";
    /// User or password are wrong.
    pub(crate) const INVALID_LOGIN: &str = "InvalidLogin";
    /// The machine is off already.
    pub(crate) const INVALID_POWER_STATE: &str = "InvalidPowerState";
    /// The user lacks a privilege.
    pub(crate) const NO_PERMISSION: &str = "NoPermission";
}

/// A reference to a managed object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Object {
    /// The type, such as `VirtualMachine`.
    pub(crate) kind: String,
    /// The ID, such as `vm-42`.
    pub(crate) id: String,
}

impl Object {
    pub(crate) fn new(kind: &str, id: &str) -> Self {
        Self { kind: kind.to_owned(), id: id.to_owned() }
    }

    /// Returns the element that refers to it.
    pub(super) fn element(&self, name: &str) -> String {
        format!("<{name} type=\"{}\">{}</{name}>", escape(&*self.kind), escape(&*self.id))
    }
}

/// Returns an element with a text.
pub(super) fn text(name: &str, text: &str) -> String {
    format!("<{name}>{}</{name}>", escape(text))
}

/// Returns the envelope of a call of a method of an object.
pub(super) fn envelope(method: &str, this: &Object, parameters: &str) -> String {
    let this = this.element("_this");
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><soapenv:Envelope \
         xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
         xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\"><soapenv:Body><{method} \
         xmlns=\"urn:vim25\">{this}{parameters}</{method}></soapenv:Body></soapenv:Envelope>"
    )
}

/// A fault: its error, and the object that it names.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) error: Box<CallError>,
    pub(super) object: Option<String>,
}

impl Fault {
    /// Returns whether the session does not exist any more.
    pub(super) fn is_session_over(&self) -> bool {
        self.error.code == fault::NOT_AUTHENTICATED
    }
}

impl From<CallError> for Fault {
    fn from(error: CallError) -> Self {
        Self { error: Box::new(error), object: None }
    }
}

/// Returns the response to a method.
///
/// # Errors
/// The fault, or that the body is no response of the service.
pub(super) fn response(method: &str, body: &str) -> Result<Element, Fault> {
    let foreign = |why: String| Fault::from(CallError::foreign_response(why));
    let root = Element::parse(body).map_err(|why| foreign(format!("{} bytes that are no SOAP: {why}", body.len())))?;
    let inside = root.child("Body").filter(|_| root.name == "Envelope").and_then(|body| body.children.first());
    let Some(inside) = inside else { return Err(foreign("a document that is no SOAP".to_owned())) };
    if inside.name == "Fault" {
        return Err(fault_of(inside));
    }
    match inside.name.strip_suffix("Response") {
        Some(name) if name == method => Ok(inside.clone()),
        _ => Err(foreign(format!("the response is {}, and not that to {method}", inside.name))),
    }
}

fn fault_of(fault: &Element) -> Fault {
    let detail = fault.child("detail").and_then(|detail| detail.children.first());
    let code = detail.map(|detail| {
        let name = detail.name.strip_suffix("Fault").unwrap_or(&detail.name);
        detail.value_type.as_deref().unwrap_or(name)
    });
    let code = code.filter(|code| !code.is_empty()).unwrap_or("Fault");
    let message = fault.text_of("faultstring").unwrap_or_default();
    let object = detail.and_then(|detail| detail.find("obj")).map(|object| object.text.trim().to_owned());
    Fault { error: Box::new(error(code, message)), object: object.filter(|object| !object.is_empty()) }
}

/// The most characters of a fault's type and message in an error.
const MAX_CODE: usize = 100;
const MAX_MESSAGE: usize = 1000;

/// Returns the error of a fault, by its type.
pub(super) fn error(code: &str, message: &str) -> CallError {
    use CallErrorKind::{Credentials, Denied, NotFound, Unavailable, Unexpected};
    let kind = match code {
        fault::NOT_AUTHENTICATED | fault::INVALID_LOGIN | "NoClientCertificate" | "PasswordExpired" => Credentials,
        fault::NO_PERMISSION | "RestrictedVersion" => Denied,
        fault::GONE => NotFound,
        "HostCommunication" | "HostNotConnected" | "ServerBusy" | "SystemError" | "Timedout" | "TooManySessions" => {
            Unavailable
        }
        _ => Unexpected,
    };
    let shown = |text: &str, most: usize| -> String {
        text.chars().filter(|character| !character.is_control()).take(most).collect()
    };
    let mut error = CallError::new(kind, &shown(code, MAX_CODE), shown(message, MAX_MESSAGE));
    error.facts = ErrorFacts {
        means_deleted: code == fault::GONE,
        means_in_use: matches!(code, "TaskInProgress" | "ResourceInUse"),
        ..ErrorFacts::default()
    };
    error
}

/// Returns the error of a call that failed, with its name.
pub(super) fn named(error: CallError, method: &str, host: &str) -> CallError {
    if error.operation.is_empty() { error.of(SERVICE, method, host) } else { error }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn envelope_of(body: &str) -> String {
        format!("<e:Envelope xmlns:e=\"x\"><e:Body>{body}</e:Body></e:Envelope>")
    }

    #[test]
    fn faults_have_their_type_and_object() {
        let body = envelope_of(
            "<e:Fault><faultstring>gone</faultstring><detail><ManagedObjectNotFoundFault \
             xsi:type=\"ManagedObjectNotFound\"><obj type=\"VirtualMachine\">vm-1</obj></ManagedObjectNotFoundFault>\
             </detail></e:Fault>",
        );
        let fault = response("Login", &body).unwrap_err();
        assert_eq!((fault.error.code.as_str(), fault.object.as_deref()), (fault::GONE, Some("vm-1")));
        assert!(fault.error.means_deleted() && &*fault.error.message == "gone");
    }

    #[test]
    fn response_of_another_method_is_foreign() {
        assert_eq!(response("Logout", &envelope_of("<LogoutResponse/>")).unwrap().name, "LogoutResponse");
        for body in [envelope_of("<LoginResponse/>"), envelope_of(""), "<html/>".to_owned(), String::new()] {
            assert!(response("Logout", &body).unwrap_err().error.is_retryable(), "{body}");
        }
    }

    #[test]
    fn parameters_are_escaped() {
        let envelope = envelope("M", &Object::new("T", "a&b"), &text("key", "<x>"));
        assert!(envelope.contains("<_this type=\"T\">a&amp;b</_this><key>&lt;x&gt;</key></M>"), "{envelope}");
    }
}
