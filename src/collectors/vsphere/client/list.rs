//! The list of machines: a view of all of them, and pages of their properties.
//!
//! A machine that is deleted meanwhile can fail a whole page. Then the machines are read by their IDs, without it.

use std::{
    collections::VecDeque,
    sync::{MutexGuard, PoisonError},
};

use serde_json::Value;

use super::{
    Client, Page, Session,
    element::Element,
    machine,
    soap::{self, Fault, Object, fault, named},
};
use crate::engine::{CallError, Request};

/// The objects of a page.
const PAGE: usize = 500;
/// The machines that are read by their IDs at the same time.
const CHUNK: usize = 100;

/// The type of machines.
pub(super) const MACHINE: &str = "VirtualMachine";

/// How often a list begins again because its session has ended.
const RESTARTS: usize = 2;

/// A list in progress.
#[derive(Default)]
pub(super) struct Listing {
    /// The session of the view and of the tokens of pages, which another session does not know.
    session: Option<Session>,
    view: Option<Object>,
    /// How often it began again.
    restarts: usize,
}

/// The objects of a page, and the token of the next one.
type Objects = (Vec<Element>, Option<String>);

impl Client {
    /// Returns a page of machines. If the session ends between two pages, the first page of a new view follows: machines
    /// that are listed twice are one node.
    pub(super) async fn list(&self, request: &Request<'_>) -> Result<Page, CallError> {
        let token = request.input.get("token").and_then(Value::as_str);
        let number = request.input.get("page").and_then(Value::as_u64).unwrap_or(0);
        if token.is_none() {
            *self.listing() = Listing::default();
        }
        let mut page = self.page(token).await;
        while page.as_ref().is_err_and(Fault::is_session_over)
            && let Some(ended) = self.restart()
        {
            tracing::debug!(host = self.host, "the session ended while machines were listed; listing them again");
            self.renew(&ended).await?;
            page = self.page(None).await;
        }
        let (objects, token) = page.map_err(|fault| *fault.error)?;
        if token.is_none() {
            self.destroy_view().await;
        }
        Ok(Page { item: machine::page(objects.iter()), token, number, is_empty: objects.is_empty() })
    }

    fn listing(&self) -> MutexGuard<'_, Listing> {
        self.listing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the session of the list, which has ended, if the list may begin again.
    fn restart(&self) -> Option<Session> {
        let mut listing = self.listing();
        let ended = listing.session.take().filter(|_| listing.restarts < RESTARTS)?;
        *listing = Listing { restarts: listing.restarts + 1, ..Listing::default() };
        Some(ended)
    }

    /// Returns the first page of a new view, or the page of a token.
    async fn page(&self, token: Option<&str>) -> Result<Objects, Fault> {
        let known = self.listing().session.clone();
        let session = match known {
            Some(session) => session,
            None => self.session().await?,
        };
        self.listing().session = Some(session.clone());
        let page = match token {
            Some(token) => self.following_page(&session, token).await,
            None => self.first_page(&session).await,
        };
        match page {
            Err(fault) if fault.error.code == fault::GONE => {
                tracing::debug!(host = self.host, "a machine vanished while it was listed; reading the others by ID");
                Ok((self.by_id(&session).await?, None))
            }
            page => page,
        }
    }

    async fn first_page(&self, session: &Session) -> Result<Objects, Fault> {
        let view = self.create_view(session).await?;
        let traversal = "<skip>true</skip><selectSet xsi:type=\"TraversalSpec\"><name>view</name><type>ContainerView</type>\
                         <path>view</path><skip>false</skip></selectSet>";
        let objects = format!("<objectSet>{}{traversal}</objectSet>", view.element("obj"));
        self.retrieve(Some(session), MACHINE, &machine::PATHS, &objects).await
    }

    async fn following_page(&self, session: &Session, token: &str) -> Result<Objects, Fault> {
        let call = (session.content.properties.clone(), soap::text("token", token));
        let method = "ContinueRetrievePropertiesEx";
        let response = self.invoke_in(session, method, None, call).await?;
        if response.child("returnval").is_none() {
            return Err(named(CallError::unexpected_response("there is no page"), method, &self.host).into());
        }
        Ok(contents(&response))
    }

    /// Makes a view of all machines.
    async fn create_view(&self, session: &Session) -> Result<Object, Fault> {
        let method = "CreateContainerView";
        let container = session.content.root.element("container");
        let parameters = format!("{container}<type>{MACHINE}</type><recursive>true</recursive>");
        let response = self.invoke_in(session, method, None, (session.content.views.clone(), parameters)).await?;
        let id = response.text_of("returnval").unwrap_or_default();
        if id.is_empty() {
            return Err(named(CallError::unexpected_response("there is no view"), method, &self.host).into());
        }
        let view = Object::new("ContainerView", id);
        self.listing().view = Some(view.clone());
        Ok(view)
    }

    /// Destroys the view. If that fails, it ends with the session.
    async fn destroy_view(&self) {
        let Listing { session, view, .. } = std::mem::take(&mut *self.listing());
        let (Some(session), Some(view)) = (session, view) else { return };
        if let Err(fault) = self.invoke_in(&session, "DestroyView", None, (view, String::new())).await {
            tracing::debug!(host = self.host, error = %fault.error, "cannot destroy a view");
        }
    }

    /// Reads the properties of objects, in this session or in the current one; without the time of creation if the server
    /// does not know it.
    pub(super) async fn retrieve(
        &self,
        session: Option<&Session>,
        kind: &str,
        paths: &[&str],
        objects: &str,
    ) -> Result<Objects, Fault> {
        match self.retrieve_all(session, kind, paths, objects).await {
            Err(fault) if fault.error.code == fault::INVALID_PROPERTY && paths.contains(&machine::CREATED) => {
                let paths: Vec<&str> = paths.iter().copied().filter(|path| *path != machine::CREATED).collect();
                self.retrieve_all(session, kind, &paths, objects).await
            }
            result => result,
        }
    }

    async fn retrieve_all(
        &self,
        session: Option<&Session>,
        kind: &str,
        paths: &[&str],
        objects: &str,
    ) -> Result<Objects, Fault> {
        let paths: String = paths.iter().map(|path| soap::text("pathSet", path)).collect();
        let properties = format!("<propSet><type>{kind}</type>{paths}</propSet>");
        let parameters =
            format!("<specSet>{properties}{objects}</specSet><options><maxObjects>{PAGE}</maxObjects></options>");
        let method = "RetrievePropertiesEx";
        let call = |session: &Session| (session.content.properties.clone(), parameters.clone());
        let response = match session {
            Some(session) => self.invoke_in(session, method, None, call(session)).await?,
            None => self.invoke(method, None, call).await?,
        };
        Ok(contents(&response))
    }

    /// Reads all machines of the view by their IDs.
    async fn by_id(&self, session: &Session) -> Result<Vec<Element>, Fault> {
        let ids = self.ids(session).await?;
        let mut chunks: VecDeque<Vec<String>> = ids.chunks(CHUNK).map(<[String]>::to_vec).collect();
        let mut all = Vec::new();
        while let Some(mut chunk) = chunks.pop_front() {
            let objects: String = chunk.iter().map(|id| object_set(&Object::new(MACHINE, id))).collect();
            match self.retrieve(Some(session), MACHINE, &machine::PATHS, &objects).await {
                // The server may have smaller pages.
                Ok((found, token)) => {
                    all.extend(found);
                    all.extend(self.rest(session, token, chunk.len()).await?);
                }
                // Something else is gone, such as the host of the machine.
                Err(fault)
                    if chunk.len() == 1 && fault.object.as_ref().is_some_and(|object| !chunk.contains(object)) =>
                {
                    return Err(fault);
                }
                Err(fault) if fault.error.code == fault::GONE => {
                    // Each time there is at least one machine less in a chunk.
                    let before = chunk.len();
                    chunk.retain(|id| fault.object.as_ref() != Some(id));
                    if chunk.len() == before {
                        let half = chunk.split_off(before / 2);
                        chunks.extend([half].into_iter().filter(|_| before > 1));
                    }
                    chunks.extend([chunk].into_iter().filter(|chunk| !chunk.is_empty()));
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(all)
    }

    /// Returns the objects of the pages from a token on, of which each has at least one of these.
    async fn rest(&self, session: &Session, token: Option<String>, most: usize) -> Result<Vec<Element>, Fault> {
        let (mut all, mut following) = (Vec::new(), token);
        for _ in 0..most {
            let Some(token) = following.take() else { break };
            let (found, next) = self.following_page(session, &token).await?;
            all.extend(found);
            following = next;
        }
        match following {
            None => Ok(all),
            Some(_) => Err(CallError::unexpected_response("more pages than machines").into()),
        }
    }

    /// Returns the IDs of all machines.
    async fn ids(&self, session: &Session) -> Result<Vec<String>, Fault> {
        let known = self.listing().view.clone();
        let view = match known {
            Some(view) => view,
            None => self.create_view(session).await?,
        };
        let (found, _) = self.retrieve(Some(session), "ContainerView", &["view"], &object_set(&view)).await?;
        let view = found.first().map(machine::properties).unwrap_or_default();
        let Some(machines) = view.get("view") else {
            return Err(CallError::unexpected_response("the view has no list of machines").into());
        };
        Ok(machines.children.iter().map(|machine| machine.text.trim().to_owned()).collect())
    }
}

/// Returns the specification of one object.
pub(super) fn object_set(object: &Object) -> String {
    format!("<objectSet>{}</objectSet>", object.element("obj"))
}

/// Returns the objects of a page, and the token of the next one. A response without a result has none.
fn contents(response: &Element) -> Objects {
    let Some(result) = response.child("returnval") else { return (Vec::new(), None) };
    let token = result.text_of("token").filter(|token| !token.is_empty()).map(str::to_owned);
    (result.all("objects").cloned().collect(), token)
}
