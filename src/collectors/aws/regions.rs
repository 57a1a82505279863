//! The enabled regions of an account: those without opt-in, and those with opt-in that it has enabled.

use crate::engine::{Api, CallError, CallErrorKind, Request, Tree, code};

/// The states of enabled regions. Regions without a state date from before opt-in existed.
const ENABLED: [&str; 2] = ["opt-in-not-required", "opted-in"];

/// Returns the enabled regions of the API's account, listed in `region`.
///
/// # Errors
/// Why they cannot be listed; `Unexpected` if there is none.
pub(crate) async fn enabled(api: &dyn Api, region: &str) -> Result<Vec<String>, CallError> {
    let (service, operation) = ("ec2", "DescribeRegions");
    let names = names(&api.call(Request::new(service, operation, region)).await?.tree()?);
    if names.is_empty() {
        let none =
            CallError::new(CallErrorKind::Unexpected, code::MISSING_REGIONS, "the response has no enabled region");
        return Err(none.of(service, operation, region));
    }
    Ok(names)
}

fn names(answer: &Tree<'_>) -> Vec<String> {
    let state = |region: &Tree<'_>| region.get("OptInStatus").and_then(Tree::text).map(str::to_owned);
    let is_enabled = |region: &Tree<'_>| state(region).is_none_or(|state| ENABLED.contains(&state.as_str()));
    let enabled = answer.path("Regions[]").into_iter().filter(|region| is_enabled(region));
    enabled.filter_map(|region| region.get("RegionName").and_then(Tree::text).map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(name: &'static str, state: Option<&'static str>) -> Tree<'static> {
        let state = state.map(|state| ("OptInStatus".into(), Tree::Text(state.into())));
        let name = ("RegionName".into(), Tree::Text(name.into()));
        Tree::Map([name].into_iter().chain(state).collect())
    }

    #[test]
    fn disabled_regions_are_omitted() {
        let regions = vec![
            region("us-east-1", Some("opt-in-not-required")),
            region("ap-east-1", Some("not-opted-in")),
            region("me-south-1", Some("opted-in")),
            region("eu-west-1", None),
        ];
        let answer = Tree::Map(vec![("Regions".into(), Tree::List(regions))]);
        assert_eq!(names(&answer), ["us-east-1", "me-south-1", "eu-west-1"]);
        assert_eq!(names(&Tree::Null), Vec::<String>::new());
    }
}
