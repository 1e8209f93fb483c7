//! What is done to a stage by hand: new revisions, orders, the brake. It plays nothing.

use std::sync::Arc;

use burgee_core::order::{self, Order, Word};
use burgee_core::rollout::Rollout;
use burgee_core::world::{Kind, ObjectKey};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Brake, Stage};
use crate::process::Blur;

impl Stage {
    /// A new revision of the target, as an edit of its pod template makes one.
    pub fn new_revision(&mut self) -> Result<(), String> {
        let key = self.target_key().ok_or("the canary cannot be parsed")?;
        let target = self.cluster.get(&key).ok_or("there is no target")?;
        if key.kind == Kind::Service {
            let mut selector = target["spec"]["selector"].clone();
            selector["revision"] = Value::String(format!("at-{}s", self.second()));
            return self.edit("/spec/selector", &selector);
        }
        let mut annotations = target["spec"]["template"]["metadata"]["annotations"].clone();
        if !annotations.is_object() {
            annotations = json!({});
        }
        annotations["revision"] = Value::String(format!("at {}s", self.second()));
        self.edit("/spec/template/metadata/annotations", &annotations)
    }

    /// Somebody gives an order; its id is the second at which it is given.
    pub fn order(&mut self, word: Word, actor: &str) -> Result<(), String> {
        let order = Order { id: self.second().to_string(), word, actor: actor.to_owned(), at: self.now };
        let mut annotations = self.canary()["metadata"]["annotations"].clone();
        if !annotations.is_object() {
            annotations = json!({});
        }
        annotations[order::ANNOTATION] = Value::String(order.text());
        let operations = json!([{"op": "add", "path": "/metadata/annotations", "value": annotations}]);
        self.cluster.patch(&self.canary.clone(), &operations).map_err(|refusal| refusal.to_string())
    }

    /// From now on objects of a kind cannot be read by whoever leads.
    pub fn hide(&mut self, kind: Kind) {
        self.processes[self.leader].blur(kind, Blur::Blind, Timestamp::MAX);
    }

    /// They can be read again.
    pub fn reveal(&mut self, kind: Kind) {
        let now = self.now;
        self.processes[self.leader].unblur(kind, now);
    }

    /// Puts the brake on or takes it off; either wakes every canary.
    pub fn brake(&mut self, brake: Brake) {
        Arc::make_mut(&mut self.settings).pause_new_runs = brake == Brake::On;
        self.processes[self.leader].wake(self.now);
        self.is_brake_moved = true;
    }

    /// Changes the target, as a user does.
    pub fn edit(&mut self, pointer: &str, value: &Value) -> Result<(), String> {
        let key = self.target_key().ok_or("the canary cannot be parsed")?;
        let operations = json!([{"op": "add", "path": pointer, "value": value}]);
        self.cluster.patch(&key, &operations).map_err(|refusal| refusal.to_string())
    }

    fn target_key(&mut self) -> Option<ObjectKey> {
        self.reading()?.rollout.as_ref().ok().map(Rollout::target_key)
    }
}
