//! Links: the addresses of resources, as the services give them.
//!
//! A link names its service, project, scope and collection, so that a call by link can go to no other resource. It is
//! read as the path of a method, and the request is built from what was read and not from the link.

use std::borrow::Cow;

use super::{
    Project,
    model::{Method, Service, Values, decoded},
    request::host,
};

/// The host of links of all older services.
const COMMON_HOST: &str = "www.googleapis.com";

/// Returns the method with which `action` is done to the resource at a link, and the parameters of its path.
///
/// # Errors
/// A sentence that says why the link is refused. It contains no query.
pub(super) fn resolve(
    service: &'static Service,
    action: &str,
    region: &str,
    link: &str,
    project: Option<&Project>,
) -> Result<(&'static Method, Values), String> {
    let shown = link.split(['?', '#']).next().unwrap_or_default();
    let refused = |why: &str| format!("the link {shown} {why}");
    if shown.len() != link.len() {
        return Err(refused("has a query, which no link of a resource has"));
    }
    let Some((found, path)) = link.strip_prefix("https://").and_then(|rest| rest.split_once('/')) else {
        return Err(refused("is no address that begins with https:// and has a path"));
    };
    let own = host(service, region)?;
    if found != own && found != COMMON_HOST {
        return Err(refused(&format!("is of another host than {own} and {COMMON_HOST}")));
    }
    let Some(path) = path.strip_prefix(service.path) else {
        return Err(refused(&format!("does not begin with the path /{} of {}", service.path, service.name)));
    };
    let segments: Option<Vec<Cow<'_, str>>> = path.split('/').map(decoded).collect();
    let segments = segments.ok_or_else(|| refused("has an incomplete escape"))?;
    if segments.iter().any(|segment| ["", ".", ".."].contains(&&**segment)) {
        return Err(refused("has an empty part or one of dots, which no name is"));
    }
    let methods = service.methods().filter(|method| method.action() == action);
    let read = methods.filter_map(|method| Some((method, method.path.read(action, &segments)?)));
    let Some((method, mut values)) = read.into_iter().next() else {
        return Err(refused(&format!("is of no collection of {} with the method {action}", service.name)));
    };
    for (name, value) in &mut values {
        check_project(name, value, project).map_err(|why| refused(&why))?;
    }
    Ok((method, values))
}

/// Checks that a parameter of a path is of the client's project, and replaces the project's number by its ID.
fn check_project(name: &str, value: &mut String, project: Option<&Project>) -> Result<(), String> {
    let found = match (name, value.strip_prefix("projects/")) {
        ("project", _) => value.as_str(),
        (_, Some(rest)) => rest.split('/').next().unwrap_or_default(),
        _ => return Ok(()),
    };
    let Some(project) = project else { return Err("is of a project, and these credentials are of none".to_owned()) };
    if !project.is(found) {
        return Err(format!("is of project {found} and not of {}", project.id));
    }
    if name == "project" {
        value.clone_from(&project.id);
    }
    Ok(())
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
