//! The list of machines: a view of all of them, and pages of their properties.
//!
//! A machine that is deleted meanwhile can fail a whole page. Then the machines are read by their IDs, without it.

use std::{collections::VecDeque, sync::PoisonError};

use serde_json::Value;

use super::{
    Client, Page,
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

impl Client {
    /// Returns a page of machines.
    pub(super) async fn list(&self, request: &Request<'_>) -> Result<Page, CallError> {
        let token = request.input.get("token").and_then(Value::as_str);
        let number = request.input.get("page").and_then(Value::as_u64).unwrap_or(0);
        let page = match token {
            Some(token) => self.following_page(token).await,
            None => self.first_page().await,
        };
        let page = match page {
            Ok((objects, token)) => {
                Page { item: machine::page(objects.iter()), token, number, is_empty: objects.is_empty() }
            }
            Err(fault) if fault.error.code == fault::GONE => {
                tracing::debug!(
                    host = self.host,
                    "a machine vanished while it was listed; reading the others by their IDs"
                );
                let objects = self.by_id().await.map_err(|fault| *fault.error)?;
                Page::single(machine::page(objects.iter()))
            }
            Err(fault) => return Err(*fault.error),
        };
        if page.token.is_none() {
            self.destroy_view().await;
        }
        Ok(page)
    }

    async fn first_page(&self) -> Result<(Vec<Element>, Option<String>), Fault> {
        let view = self.create_view().await?;
        let traversal = "<skip>true</skip><selectSet xsi:type=\"TraversalSpec\"><name>view</name><type>ContainerView</type>\
                         <path>view</path><skip>false</skip></selectSet>";
        let objects = format!("<objectSet>{}{traversal}</objectSet>", view.element("obj"));
        self.retrieve(MACHINE, &machine::PATHS, &objects).await
    }

    async fn following_page(&self, token: &str) -> Result<(Vec<Element>, Option<String>), Fault> {
        let method = "ContinueRetrievePropertiesEx";
        let response = self
            .invoke(method, None, |session| (session.content.properties.clone(), soap::text("token", token)))
            .await?;
        Ok(contents(&response))
    }

    /// Makes a view of all machines.
    async fn create_view(&self) -> Result<Object, Fault> {
        let method = "CreateContainerView";
        let response = self
            .invoke(method, None, |session| {
                let container = session.content.root.element("container");
                let parameters = format!("{container}<type>{MACHINE}</type><recursive>true</recursive>");
                (session.content.views.clone(), parameters)
            })
            .await?;
        let id = response.text_of("returnval").unwrap_or_default();
        if id.is_empty() {
            return Err(named(CallError::unexpected_response("there is no view"), method, &self.host).into());
        }
        let view = Object::new("ContainerView", id);
        *self.view.lock().unwrap_or_else(PoisonError::into_inner) = Some(view.clone());
        Ok(view)
    }

    /// Destroys the view. If that fails, it ends with the session.
    async fn destroy_view(&self) {
        let view = self.view.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(view) = view else { return };
        if let Err(fault) = self.invoke("DestroyView", None, |_| (view.clone(), String::new())).await {
            tracing::debug!(host = self.host, error = %fault.error, "cannot destroy a view");
        }
    }

    /// Reads the properties of objects; without the time of creation if the server does not know it.
    pub(super) async fn retrieve(
        &self,
        kind: &str,
        paths: &[&str],
        objects: &str,
    ) -> Result<(Vec<Element>, Option<String>), Fault> {
        match self.retrieve_all(kind, paths, objects).await {
            Err(fault) if fault.error.code == fault::INVALID_PROPERTY && paths.contains(&machine::CREATED) => {
                let paths: Vec<&str> = paths.iter().copied().filter(|path| *path != machine::CREATED).collect();
                self.retrieve_all(kind, &paths, objects).await
            }
            result => result,
        }
    }

    async fn retrieve_all(
        &self,
        kind: &str,
        paths: &[&str],
        objects: &str,
    ) -> Result<(Vec<Element>, Option<String>), Fault> {
        let paths: String = paths.iter().map(|path| soap::text("pathSet", path)).collect();
        let properties = format!("<propSet><type>{kind}</type>{paths}</propSet>");
        let parameters =
            format!("<specSet>{properties}{objects}</specSet><options><maxObjects>{PAGE}</maxObjects></options>");
        let call = |session: &super::Session| (session.content.properties.clone(), parameters.clone());
        Ok(contents(&self.invoke("RetrievePropertiesEx", None, call).await?))
    }

    /// Reads all machines of the view by their IDs.
    async fn by_id(&self) -> Result<Vec<Element>, Fault> {
        let ids = self.ids().await?;
        let mut chunks: VecDeque<Vec<String>> = ids.chunks(CHUNK).map(<[String]>::to_vec).collect();
        let mut all = Vec::new();
        while let Some(mut chunk) = chunks.pop_front() {
            let objects: String = chunk.iter().map(|id| object_set(&Object::new(MACHINE, id))).collect();
            match self.retrieve(MACHINE, &machine::PATHS, &objects).await {
                Ok((found, None)) => all.extend(found),
                // The server has smaller pages.
                Ok((found, Some(mut token))) => {
                    all.extend(found);
                    // Each page has at least one of them.
                    for _ in 0..chunk.len() {
                        let (found, next) = self.following_page(&token).await?;
                        all.extend(found);
                        let Some(next) = next else { break };
                        token = next;
                    }
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

    /// Returns the IDs of all machines.
    async fn ids(&self) -> Result<Vec<String>, Fault> {
        let known = self.view.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let view = match known {
            Some(view) => view,
            None => self.create_view().await?,
        };
        let (found, _) = self.retrieve("ContainerView", &["view"], &object_set(&view)).await?;
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
fn contents(response: &Element) -> (Vec<Element>, Option<String>) {
    let Some(result) = response.child("returnval") else { return (Vec::new(), None) };
    let token = result.text_of("token").filter(|token| !token.is_empty()).map(str::to_owned);
    (result.all("objects").cloned().collect(), token)
}
