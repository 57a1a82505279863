//! Everything that differs between versions of the core: paths, frames, queries, and when it closes the websocket.

use http::Method;
use serde_json::{Value, json};

use super::{
    Action, ActionKey, Answer, CoreError, Duty,
    error::{bounded, cut},
};

/// The longest error text that goes into an answer, in bytes.
const ERROR_LIMIT: usize = 4000;

/// A protocol that a core speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// ckcore 2.0.
    Core2,
}

/// A text frame of the core.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Incoming {
    /// Something to do.
    Action(Action),
    /// Nothing that we can use, and why.
    Unusable(String),
}

impl Dialect {
    /// The id that the core knows us by.
    pub(super) fn subscriber(self, id: &str) -> String {
        match self {
            Dialect::Core2 => format!("{id}-collect_cleanup"),
        }
    }

    /// Whether the core closes the websocket after each frame that it took, which is also the only sign that it took it.
    pub(super) fn closes_after_frame(self) -> bool {
        match self {
            Dialect::Core2 => true,
        }
    }

    /// How the model is sent.
    pub(super) fn model_request(self) -> (Method, &'static [&'static str]) {
        match self {
            Dialect::Core2 => (Method::PATCH, &["model"]),
        }
    }

    /// The headers that tell the core's operator how many nodes and edges a merge has.
    pub(super) fn count_headers(self) -> (&'static str, &'static str) {
        match self {
            Dialect::Core2 => ("Cloudkeeper-Ckworker-Nodes", "Cloudkeeper-Ckworker-Edges"),
        }
    }

    /// The path of a query that answers nodes and edges.
    pub(super) fn query_path(self, graph: &str) -> [&str; 4] {
        match self {
            Dialect::Core2 => ["graph", graph, "query", "graph"],
        }
    }

    /// The query for an account and everything below it.
    pub(super) fn account_query(self, kind: &str, id: &str) -> Result<String, CoreError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if kind.is_empty() || !kind.chars().all(plain) {
            return Err(CoreError::permanent("query of an account", &format!("{kind:?} is no name of a kind")));
        }
        match self {
            // A JSON string is quoted as the query language wants it.
            Dialect::Core2 => Ok(format!("is({kind}) and reported.id == {} -[0:]->", Value::from(id))),
        }
    }

    /// The path of changes to nodes.
    pub(super) fn nodes_path(self, graph: &str) -> [&str; 3] {
        match self {
            Dialect::Core2 => ["graph", graph, "nodes"],
        }
    }

    /// The query for the nodes that are to be cleaned up, with all nodes above and below them. No clouds are all clouds.
    pub(super) fn clean_query(self, clouds: &[String]) -> String {
        let ids = Value::from(clouds).to_string();
        match self {
            Dialect::Core2 => {
                let of = if clouds.is_empty() {
                    String::new()
                } else {
                    format!(" and metadata.ancestors.cloud.id in {ids}")
                };
                format!("desired.clean == true and metadata.cleaned == false{of} <-[0:]->")
            }
        }
    }

    /// The edge type that is meant when none is said.
    pub(super) fn default_edge(self) -> &'static str {
        match self {
            Dialect::Core2 => "dependency",
        }
    }

    /// Reads a text frame.
    pub(super) fn read(self, text: &str) -> Incoming {
        match self {
            Dialect::Core2 => read_action(text).unwrap_or_else(Incoming::Unusable),
        }
    }

    /// The text frame that answers an action.
    pub(super) fn answer(self, action: &Action, answer: &Answer) -> String {
        let mut data = action.data.clone();
        let kind = match answer {
            Answer::Done => "action_done",
            Answer::Error(text) => {
                data.insert("error".to_owned(), Value::from(cut(text, ERROR_LIMIT)));
                "action_error"
            }
        };
        json!({ "kind": kind, "message_type": action.duty.name(), "data": data }).to_string()
    }
}

fn read_action(text: &str) -> Result<Incoming, String> {
    let frame: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    let field = |name: &str| frame.get(name).and_then(Value::as_str).unwrap_or_default();
    if field("kind") != "action" {
        return Err(format!("kind {:?}", bounded(field("kind"))));
    }
    let Some(duty) = Duty::named(field("message_type")) else {
        return Err(format!("action {:?}, for which we are not registered", bounded(field("message_type"))));
    };
    let data = frame.get("data").and_then(Value::as_object).ok_or("an action without data")?;
    let part = |name: &str| data.get(name).and_then(Value::as_str).map(str::to_owned);
    let (Some(task), Some(step)) = (part("task"), part("step")) else {
        return Err("an action without task or step".to_owned());
    };
    Ok(Incoming::Action(Action { key: ActionKey { task, step }, duty, data: data.clone() }))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;

    const RECORDED: &str = "{\"kind\": \"action\", \"message_type\": \"collect\", \"data\": {\"task\": \"da2af9aa\", \"step\": \
                            \"collect\"}}\n";

    fn action(text: &str) -> Action {
        match Dialect::Core2.read(text) {
            Incoming::Action(action) => action,
            Incoming::Unusable(reason) => panic!("{reason}"),
        }
    }

    #[test]
    fn a_recorded_action_is_read_and_answered() {
        let action = action(RECORDED);
        assert_eq!(action.key, ActionKey { task: "da2af9aa".into(), step: "collect".into() });
        assert_eq!(action.duty, Duty::Collect);
        let done: Value = serde_json::from_str(&Dialect::Core2.answer(&action, &Answer::Done)).unwrap();
        let expected =
            json!({"kind": "action_done", "message_type": "collect", "data": {"task": "da2af9aa", "step": "collect"}});
        assert_eq!(done, expected);
        let error = Dialect::Core2.answer(&action, &Answer::Error("x".repeat(100_000)));
        let error: Value = serde_json::from_str(&error).unwrap();
        assert_eq!(error["kind"], "action_error");
        assert_eq!(error["data"]["error"].as_str().unwrap().len(), ERROR_LIMIT + '…'.len_utf8());
    }

    #[test]
    fn unusable_frames_say_why() {
        for (text, why) in [
            ("", "not JSON"),
            ("[]", "kind"),
            ("{\"kind\":\"event\"}", "kind \"event\""),
            ("{\"kind\":\"action\",\"message_type\":\"other\"}", "not registered"),
            ("{\"kind\":\"action\",\"message_type\":\"collect\",\"data\":null}", "without data"),
            ("{\"kind\":\"action\",\"message_type\":\"collect\",\"data\":{\"task\":1}}", "without task"),
        ] {
            match Dialect::Core2.read(text) {
                Incoming::Unusable(reason) => assert!(reason.contains(why), "{text}: {reason}"),
                Incoming::Action(action) => panic!("{action:?}"),
            }
        }
    }

    #[test]
    fn the_query_of_an_account_is_quoted() {
        let query = Dialect::Core2.account_query("aws_account", "a\"b\\").unwrap();
        assert_eq!(query, r#"is(aws_account) and reported.id == "a\"b\\" -[0:]->"#);
        assert!(Dialect::Core2.account_query("aws account)", "1").is_err());
    }
}
