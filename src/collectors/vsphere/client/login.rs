//! Sessions: the login, and the logout. Only the broker uses them.

use std::time::Duration;

use super::{
    Client, Content, Session,
    element::Element,
    soap::{self, Fault, Object, named},
};
use crate::engine::{CallError, CallErrorKind, http};

/// The object through which all others are found.
const INSTANCE: (&str, &str) = ("ServiceInstance", "ServiceInstance");

impl Client {
    /// Asks the server what it is. What it returns is not logged in yet.
    ///
    /// # Errors
    /// That the server does not answer, or is none of this API.
    pub(crate) async fn open(&self, limit: Duration) -> Result<Session, CallError> {
        let version = self.version(limit).await?;
        let instance = Object::new(INSTANCE.0, INSTANCE.1);
        let method = "RetrieveServiceContent";
        let body = soap::envelope(method, &instance, "");
        let (response, cookie) =
            self.exchange(method, body, None, limit).await.map_err(|fault| self.named(fault, method))?;
        let content = content(&response)
            .ok_or_else(|| named(CallError::unexpected_response("the server lacks objects"), method, &self.host))?;
        Ok(Session { cookie: cookie.unwrap_or_default(), version, content })
    }

    /// Logs in.
    ///
    /// # Errors
    /// That the server refuses user or password, or does not answer.
    pub(crate) async fn log_in(
        &self,
        opened: Session,
        user: &str,
        password: &str,
        limit: Duration,
    ) -> Result<Session, CallError> {
        let mut session = opened;
        let parameters = soap::text("userName", user) + &soap::text("password", password);
        let body = soap::envelope("Login", &session.content.sessions, &parameters);
        let (_, cookie) = match self.exchange("Login", body, Some(&session), limit).await {
            Ok(response) => response,
            Err(fault) => {
                if fault.error.kind != CallErrorKind::Credentials {
                    // The server may have logged in, and its answer be late. Why this fails too is of no use.
                    let _ = self.log_out(&session, limit).await;
                }
                return Err(self.named(fault, "Login"));
            }
        };
        session.cookie = cookie.unwrap_or(session.cookie);
        Ok(session)
    }

    /// Logs out. A session that has ended is none any more.
    ///
    /// # Errors
    /// If the server does not answer.
    pub(crate) async fn log_out(&self, session: &Session, limit: Duration) -> Result<(), CallError> {
        let body = soap::envelope("Logout", &session.content.sessions, "");
        match self.exchange("Logout", body, Some(session), limit).await {
            Err(fault) if fault.error.code != soap::fault::NOT_AUTHENTICATED => Err(self.named(fault, "Logout")),
            _ => Ok(()),
        }
    }

    fn named(&self, fault: Fault, method: &str) -> CallError {
        named(*fault.error, method, &self.host)
    }

    /// Returns the newest version of the API that the server knows; an empty string if it does not say.
    async fn version(&self, limit: Duration) -> Result<String, CallError> {
        let url = format!("{}/vimServiceVersions.xml", self.url);
        let response = self.http.get(url).timeout(limit).send().await;
        let response = response.map_err(|error| named(http::explain(error, &self.host), "GetVersions", &self.host))?;
        if !response.status().is_success() {
            return Ok(String::new());
        }
        let body = http::read(response, &self.host).await.map_err(|error| named(error, "GetVersions", &self.host))?;
        Ok(newest(&String::from_utf8_lossy(&body)).unwrap_or_default())
    }
}

fn newest(versions: &str) -> Option<String> {
    let versions = Element::parse(versions).ok()?;
    let namespace = versions.all("namespace").find(|namespace| namespace.text_of("name") == Some("urn:vim25"))?;
    let version = namespace.text_of("version")?;
    let is_version = version.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
    is_version.then(|| version.to_owned())
}

fn content(response: &Element) -> Option<Content> {
    let content = response.child("returnval")?;
    let object = |name: &str| {
        let object = content.child(name)?;
        Some(Object::new(object.object_type.as_deref().unwrap_or_default(), object.text.trim()))
    };
    Some(Content {
        root: object("rootFolder")?,
        properties: object("propertyCollector")?,
        views: object("viewManager")?,
        sessions: object("sessionManager")?,
        fields: object("customFieldsManager"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_version_of_the_api_is_used() {
        let versions = "<namespaces version=\"1.0\"><namespace><name>urn:vim2</name><version>2</version></namespace>\
            <namespace><name>urn:vim25</name><version>8.0.1.0</version><priorVersions><version>6.5</version>\
            </priorVersions></namespace></namespaces>";
        assert_eq!(newest(versions).as_deref(), Some("8.0.1.0"));
        assert_eq!(newest("<html/>"), None);
    }
}
