//! The parameters of a kind's listings: one for each parameter set, and each value of `each`.

use serde_json::{Map, Value as Json};

use super::super::{
    definition::ListCall,
    eval::{Item, Named, text},
};

/// The parameters of a listing.
pub(super) struct Parameters {
    pub(super) input: Map<String, Json>,
    /// The value that it is for, if there is a listing for each of several.
    pub(super) of: Option<String>,
}

/// Returns the parameters of each listing for a parent, or for nothing.
pub(super) fn parameters(list: &ListCall, parent: &Item<'_>) -> Vec<Parameters> {
    let with = |item: &Item<'_>, of: Option<&str>| -> Vec<Parameters> {
        let of = || of.map(str::to_owned);
        match list.inputs.as_slice() {
            [] => vec![Parameters { input: Map::new(), of: of() }],
            inputs => inputs.iter().map(|input| Parameters { input: item.input(input.get_ref()), of: of() }).collect(),
        }
    };
    let Some(each) = &list.each else { return with(parent, None) };
    let mut all = Vec::new();
    parent.each(each.get_ref(), &mut |value| {
        let named = parent.named.iter().copied().chain([Named::whole("each", value)]);
        let item = Item { tree: parent.tree, named: named.collect(), failed: Vec::new() };
        all.extend(with(&item, Some(text(value).unwrap_or_default().as_ref())));
    });
    all
}
