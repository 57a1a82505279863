//! Workflows: steps, who is waited for, and when an action is delivered again.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::state::{Outgoing, Registration, State};

const COLLECT: [&str; 3] = ["pre_collect", "collect", "post_collect"];
const CLEANUP: [&str; 6] =
    ["pre_cleanup_plan", "cleanup_plan", "post_cleanup_plan", "pre_cleanup", "cleanup", "post_cleanup"];
const METRICS: [&str; 3] = ["pre_generate_metrics", "generate_metrics", "post_generate_metrics"];

/// A workflow that was started.
pub(crate) struct Task {
    name: String,
    steps: Vec<&'static str>,
    current: usize,
    /// Who is concerned by the current step, with the registration at its begin.
    concerned: BTreeMap<String, Registration>,
    /// Who has given any answer since the step began, and gets the action no more.
    silenced: BTreeSet<String>,
    answered: BTreeSet<String>,
    pub(super) answers: Vec<(String, String, String)>,
    pub(super) deliveries: usize,
}

impl Task {
    pub(super) fn is_over(&self) -> bool {
        self.current >= self.steps.len()
    }

    fn step(&self) -> &'static str {
        self.steps.get(self.current).copied().unwrap_or("task_end")
    }

    /// Whether nobody has to answer the current step any more.
    fn is_answered(&self) -> bool {
        let step = self.step();
        self.concerned.iter().all(|(id, events)| {
            self.answered.contains(id) || !events.get(step).is_some_and(|event| event.wait_for_completion)
        })
    }

    fn is_pending_for(&self, subscriber: &str, now: &Registration) -> bool {
        !self.is_over() && !self.silenced.contains(subscriber) && self.concerned.get(subscriber) == Some(now)
    }
}

impl State {
    pub(super) fn start_workflow(&mut self, name: &str) -> Option<String> {
        if self.tasks.values().any(|task| task.name == name && !task.is_over()) {
            return None;
        }
        let steps: Vec<_> = match name {
            "collect" => COLLECT.into_iter().chain(METRICS).collect(),
            "cleanup" => CLEANUP.into_iter().chain(METRICS).collect(),
            "collect_and_cleanup" => COLLECT.into_iter().chain(CLEANUP).chain(METRICS).collect(),
            other => panic!("no workflow {other}"),
        };
        self.task_count += 1;
        let id = format!("da2af9aa-e659-11f1-ad2c-{:012}", self.task_count);
        let task = Task {
            name: name.to_owned(),
            steps,
            current: 0,
            concerned: BTreeMap::new(),
            silenced: BTreeSet::new(),
            answered: BTreeSet::new(),
            answers: Vec::new(),
            deliveries: 0,
        };
        self.tasks.insert(id.clone(), task);
        self.enter_steps(&id);
        Some(id)
    }

    /// Begins the current step, and the next ones as long as nobody has to be waited for.
    fn enter_steps(&mut self, id: &str) {
        loop {
            let Some(task) = self.tasks.get_mut(id).filter(|task| !task.is_over()) else { return };
            let step = task.step();
            let concerned = self.subscribers.iter().filter(|(_, events)| events.contains_key(step));
            task.concerned = concerned.map(|(id, events)| (id.clone(), events.clone())).collect();
            task.silenced.clear();
            task.answered.clear();
            let waits = !task.is_answered();
            for subscriber in task.concerned.keys().cloned().collect::<Vec<_>>() {
                self.deliver(id, &subscriber);
            }
            if waits {
                return;
            }
            if let Some(task) = self.tasks.get_mut(id) {
                task.current += 1;
            }
        }
    }

    fn deliver(&mut self, id: &str, subscriber: &str) {
        let (Some(task), Some(now)) = (self.tasks.get_mut(id), self.subscribers.get(subscriber)) else { return };
        if !task.is_pending_for(subscriber, now) || !self.connections.contains_key(subscriber) {
            return;
        }
        task.deliveries += 1;
        let step = task.step();
        let action = json!({ "kind": "action", "message_type": step, "data": { "task": id, "step": step } });
        self.send(subscriber, Outgoing::Text(format!("{action}\n")));
    }

    /// Delivers everything that is pending to a subscriber that has just connected.
    pub(super) fn deliver_pending(&mut self, subscriber: &str) {
        for id in self.tasks.keys().cloned().collect::<Vec<_>>() {
            self.deliver(&id, subscriber);
        }
    }

    /// Takes a frame of a subscriber.
    pub(super) fn take_frame(&mut self, subscriber: &str, text: &str) {
        self.frames.push(text.to_owned());
        let Ok(frame) = serde_json::from_str::<Value>(text) else { return };
        let of = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (kind, data) = (of(&frame, "kind"), frame.get("data").cloned().unwrap_or_default());
        let usable = frame.get("message_type").is_some() && ["action_done", "action_error"].contains(&kind.as_str());
        let id = of(&data, "task");
        let Some(task) = self.tasks.get_mut(&id).filter(|task| usable && !task.is_over()) else { return };
        task.silenced.insert(subscriber.to_owned());
        task.answers.push((of(&data, "step"), kind, of(&data, "error")));
        if of(&data, "step") != task.step() {
            return;
        }
        task.answered.insert(subscriber.to_owned());
        if task.is_answered() {
            task.current += 1;
            self.enter_steps(&id);
        }
    }

    /// Goes back to a step, as if it had just begun and its action had been delivered.
    pub(super) fn reopen(&mut self, id: &str, step: &str) {
        let task = self.tasks.get_mut(id).unwrap();
        task.current = task.steps.iter().position(|name| *name == step).unwrap();
        task.concerned = self.subscribers.clone();
        task.silenced.clear();
        task.answered.clear();
        task.answers.clear();
    }
}
