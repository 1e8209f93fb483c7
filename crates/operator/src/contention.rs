//! Repairs of objects that somebody else keeps changing: not more often than makes sense. It writes nothing.

use std::collections::BTreeMap;

use burgee_core::world::ObjectKey;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// Two repairs of an object are at least this far apart.
const PACE: SignedDuration = SignedDuration::from_secs(1);
/// So many repairs within [`WINDOW`] are a fight.
const FIGHT: usize = 5;
/// How long repairs are remembered.
const WINDOW: SignedDuration = SignedDuration::from_mins(1);

/// The repairs of one canary's objects within the last minute.
#[derive(Debug, Default)]
pub struct Contention {
    repairs: BTreeMap<ObjectKey, Vec<Timestamp>>,
}

/// Whether objects may be repaired now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// Yes; they are noted as repaired.
    Go,
    /// Not before this time.
    Wait(Timestamp),
    /// Somebody keeps changing this object: not before this time.
    Fight(ObjectKey, Timestamp),
}

impl Contention {
    /// Rules on the repair of some objects at `now`. A fight is fought once per interval.
    pub fn rule(&mut self, keys: &[ObjectKey], interval: SignedDuration, now: Timestamp) -> Ruling {
        for repairs in self.repairs.values_mut() {
            repairs.retain(|at| now.duration_since(*at) < WINDOW.max(interval));
        }
        self.repairs.retain(|_, repairs| !repairs.is_empty());
        for key in keys {
            let Some(repairs) = self.repairs.get(key) else { continue };
            let last = repairs.last().copied().unwrap_or(Timestamp::MIN);
            let is_fight = repairs.len() >= FIGHT;
            let next = last.saturating_add(if is_fight { interval } else { PACE }).unwrap_or(now);
            if next > now {
                return if is_fight { Ruling::Fight(key.clone(), next) } else { Ruling::Wait(next) };
            }
        }
        for key in keys {
            self.repairs.entry(key.clone()).or_default().push(now);
        }
        Ruling::Go
    }
}

/// The field manager that last changed an object and is not us.
pub fn opponent(object: &Value) -> &str {
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    let others = entries.filter(|entry| entry["manager"] != "burgee" && entry["subresource"].is_null());
    let last = others.max_by_key(|entry| entry["time"].as_str().unwrap_or_default());
    last.and_then(|entry| entry["manager"].as_str()).unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;
    use burgee_core::world::Kind;
    use serde_json::json;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn service() -> ObjectKey {
        ObjectKey::new(Kind::Service, "test", "podinfo")
    }

    #[test]
    fn repairs_are_a_second_apart_and_the_sixth_in_a_minute_waits_for_the_interval() {
        let (mut contention, interval) = (Contention::default(), SignedDuration::from_secs(30));
        let mut rule = |seconds| contention.rule(&[service()], interval, at(seconds));
        assert_eq!((rule(0), rule(0)), (Ruling::Go, Ruling::Wait(at(1))));
        assert_eq!((rule(1), rule(2), rule(3), rule(4)), (Ruling::Go, Ruling::Go, Ruling::Go, Ruling::Go));
        assert_eq!(rule(5), Ruling::Fight(service(), at(34)));
        assert_eq!((rule(34), rule(35)), (Ruling::Go, Ruling::Fight(service(), at(64))));
    }

    #[test]
    fn an_object_that_was_left_alone_for_a_minute_is_repaired_at_once() {
        let (mut contention, interval) = (Contention::default(), SignedDuration::from_secs(10));
        for seconds in 0..5 {
            assert_eq!(contention.rule(&[service()], interval, at(seconds)), Ruling::Go);
        }
        assert_eq!(contention.rule(&[service()], interval, at(70)), Ruling::Go);
    }

    #[test]
    fn the_opponent_is_who_wrote_last_besides_us() {
        let entry = |manager: &str, time: &str| json!({"manager": manager, "time": time});
        let fields = [entry("helm", "1"), entry("argocd", "2"), entry("burgee", "3")];
        assert_eq!(opponent(&json!({"metadata": {"managedFields": fields}})), "argocd");
        assert_eq!(opponent(&json!({})), "unknown");
    }
}
