//! What is stored, and what each verb makes of it, as the real server answers. It has no socket and no clock.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::address::Address;
use crate::refusal::Refusal;

/// What every object is said to be as old as.
const CREATED: &str = "2026-01-01T00:00:00Z";

/// Where an object is stored: group, plural, namespace (empty without one), name.
type Place = (String, String, String, String);

/// Something that happened to an object.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// The version that it made.
    pub(crate) version: u64,
    /// `ADDED`, `MODIFIED` or `DELETED`.
    pub(crate) kind: &'static str,
    place: Place,
    /// The object after it; of a deletion as it was last.
    pub(crate) object: Value,
}

/// A part of a list.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) version: u64,
    pub(crate) items: Vec<Value>,
    /// Where the next one begins; empty in the last one.
    pub(crate) token: String,
}

/// The objects, and what happened to them.
#[derive(Debug)]
pub(crate) struct Objects {
    version: u64,
    stored: BTreeMap<Place, Value>,
    changes: Vec<Change>,
    /// Versions up to this one are forgotten.
    compacted: u64,
    /// Lists of which not every page has been asked for.
    lists: BTreeMap<String, (u64, Vec<Value>)>,
}

impl Default for Objects {
    fn default() -> Self {
        let (stored, changes, lists) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
        Self { version: 100, stored, changes, compacted: 0, lists }
    }
}

impl Objects {
    pub(crate) const fn version(&self) -> u64 {
        self.version
    }

    /// Forgets what happened so far: whoever watches from before has to list again.
    pub(crate) const fn compact(&mut self) {
        self.compacted = self.version;
    }

    pub(crate) fn read(&self, at: &Address) -> Option<Value> {
        self.stored.get(&place(at, at.name.as_deref()?)).cloned()
    }

    pub(crate) fn get(&self, at: &Address) -> Result<Value, Refusal> {
        self.read(at).ok_or_else(|| missing(at))
    }

    /// A page of a list, or why there is none.
    pub(crate) fn list(&mut self, at: &Address) -> Result<Page, Refusal> {
        let limit = at.parameter("limit").parse().ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
        let token = at.parameter("continue");
        let (version, mut items) = if token.is_empty() {
            let stored = self.stored.iter().filter(|(place, object)| holds(at, place, object));
            (self.version, stored.map(|(_, object)| object.clone()).collect::<Vec<Value>>())
        } else {
            let expired =
                || Refusal::new(410, "The provided continue parameter is too old to display a consistent list");
            self.lists.remove(token).filter(|(version, _)| *version >= self.compacted).ok_or_else(expired)?
        };
        let rest = items.split_off(limit.min(items.len()));
        let token = if rest.is_empty() { String::new() } else { format!("{version}/{}+{}", at.plural, rest.len()) };
        if !rest.is_empty() {
            self.lists.insert(token.clone(), (version, rest));
        }
        Ok(Page { version, items, token })
    }

    /// What happened in a collection after a version, or that this is forgotten.
    pub(crate) fn since(&self, at: &Address, version: u64) -> Result<Vec<Change>, Refusal> {
        if version < self.compacted {
            return Err(Refusal::new(410, format!("too old resource version: {version} ({})", self.compacted)));
        }
        let later = self.changes.iter().filter(|change| change.version > version);
        Ok(later.filter(|change| holds(at, &change.place, &change.object)).cloned().collect())
    }

    /// Creates an object; what it says of its status is not taken.
    pub(crate) fn create(&mut self, at: &Address, mut object: Value) -> Result<Value, Refusal> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        if !object.is_object() || name.is_empty() {
            return Err(Refusal::new(422, "metadata.name: Required value: name or generateName is required"));
        }
        if self.stored.contains_key(&place(at, &name)) {
            return Err(Refusal::exists(&qualified(at), &name));
        }
        if let Some(fields) = object.as_object_mut() {
            fields.remove("status");
        }
        Ok(self.seed(at, object))
    }

    /// Stores an object as it is, whatever was there before.
    pub(crate) fn seed(&mut self, at: &Address, mut object: Value) -> Value {
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let place = place(at, &name);
        let known = self.stored.get(&place).cloned();
        let uid = format!("00000000-0000-0000-0000-{:012}", self.version + 1);
        let metadata = metadata(&mut object);
        if let Some(namespace) = &at.namespace {
            metadata.insert("namespace".to_owned(), namespace.clone().into());
        }
        for (field, value) in [("uid", uid.into()), ("creationTimestamp", CREATED.into()), ("generation", 1.into())] {
            let before = known.as_ref().map(|known| known["metadata"][field].clone()).filter(|known| !known.is_null());
            metadata.entry(field).or_insert(before.unwrap_or(value));
        }
        let kind = if known.is_some() { "MODIFIED" } else { "ADDED" };
        self.store(place, kind, object)
    }

    /// Replaces an object; one with a version only if it still is that version.
    pub(crate) fn update(&mut self, at: &Address, wanted: Value) -> Result<Value, Refusal> {
        let stored = self.get(at)?;
        self.write(at, &stored, wanted)
    }

    /// Patches an object.
    pub(crate) fn patch(&mut self, at: &Address, media: &str, patch: Value) -> Result<Value, Refusal> {
        let stored = self.get(at)?;
        let mut wanted = stored.clone();
        match media {
            "application/json-patch+json" => {
                let rejected = |error: &dyn std::fmt::Display| {
                    Refusal::new(
                        422,
                        format!("the server rejected our request due to an error in our request: {error}"),
                    )
                };
                let operations: json_patch::Patch = serde_json::from_value(patch).map_err(|error| rejected(&error))?;
                json_patch::patch(&mut wanted, &operations).map_err(|error| rejected(&error))?;
            }
            "application/merge-patch+json" => json_patch::merge(&mut wanted, &patch),
            _ => {
                return Err(Refusal {
                    code: 415,
                    ..Refusal::new(400, format!("the body of the request was {media:?}"))
                });
            }
        }
        self.write(at, &stored, wanted)
    }

    /// Deletes an object, or marks it if finalizers wait. Preconditions are those of the body.
    pub(crate) fn delete(&mut self, at: &Address, options: &Value) -> Result<Value, Refusal> {
        let mut stored = self.get(at)?;
        let wanted = &options["preconditions"];
        let fits = |field: &str| wanted[field].is_null() || wanted[field] == stored["metadata"][field];
        if !fits("uid") || !fits("resourceVersion") {
            return Err(Refusal::conflict(&qualified(at), at.name.as_deref().unwrap_or_default()));
        }
        let place = place(at, at.name.as_deref().unwrap_or_default());
        if stored["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty) {
            return Ok(self.store(place, "DELETED", stored));
        }
        if !stored["metadata"]["deletionTimestamp"].is_null() {
            return Ok(stored);
        }
        metadata(&mut stored).insert("deletionTimestamp".to_owned(), CREATED.into());
        Ok(self.store(place, "MODIFIED", stored))
    }

    /// Writes an object in the place of `stored`: all of it but the status, or the status alone.
    fn write(&mut self, at: &Address, stored: &Value, wanted: Value) -> Result<Value, Refusal> {
        let name = at.name.as_deref().unwrap_or_default();
        let said = &wanted["metadata"]["resourceVersion"];
        if !said.is_null() && *said != "" && *said != stored["metadata"]["resourceVersion"] {
            return Err(Refusal::conflict(&qualified(at), name));
        }
        let said = &wanted["metadata"]["uid"];
        if !said.is_null() && *said != stored["metadata"]["uid"] {
            return Err(Refusal::conflict(&qualified(at), name));
        }
        let (mut next, other) = match at.subresource.as_deref() {
            Some(subresource) => (stored.clone(), (subresource.to_owned(), wanted[subresource].clone())),
            None => (wanted, ("status".to_owned(), stored["status"].clone())),
        };
        if let Some(fields) = next.as_object_mut() {
            fields.remove(&other.0);
            if !other.1.is_null() {
                fields.insert(other.0, other.1);
            }
        }
        let known = &stored["metadata"];
        let generation = known["generation"].as_i64().unwrap_or(1) + i64::from(next["spec"] != stored["spec"]);
        let kept = metadata(&mut next);
        for field in ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "resourceVersion"] {
            kept.remove(field);
            if !known[field].is_null() {
                kept.insert(field.to_owned(), known[field].clone());
            }
        }
        kept.insert("generation".to_owned(), generation.into());
        // A write that changes nothing makes no version.
        if next == *stored {
            return Ok(next);
        }
        let is_over = !known["deletionTimestamp"].is_null()
            && next["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty);
        Ok(self.store(place(at, name), if is_over { "DELETED" } else { "MODIFIED" }, next))
    }

    fn store(&mut self, place: Place, kind: &'static str, mut object: Value) -> Value {
        self.version += 1;
        metadata(&mut object).insert("resourceVersion".to_owned(), self.version.to_string().into());
        if kind == "DELETED" {
            self.stored.remove(&place);
        } else {
            self.stored.insert(place.clone(), object.clone());
        }
        self.changes.push(Change { version: self.version, kind, place, object: object.clone() });
        object
    }
}

/// The kind of a plural name as the server writes it into errors.
pub(crate) fn qualified(at: &Address) -> String {
    if at.group.is_empty() { at.plural.clone() } else { format!("{}.{}", at.plural, at.group) }
}

fn missing(at: &Address) -> Refusal {
    Refusal::missing(&qualified(at), at.name.as_deref().unwrap_or_default())
}

fn place(at: &Address, name: &str) -> Place {
    (at.group.clone(), at.plural.clone(), at.namespace.clone().unwrap_or_default(), name.to_owned())
}

/// Whether a collection holds an object: by its namespace, and by the field selector of the query.
fn holds(at: &Address, place: &Place, object: &Value) -> bool {
    let (group, plural, namespace, _) = place;
    let selector = at.parameter("fieldSelector");
    let terms = selector.split(',').filter(|term| !term.is_empty());
    *group == at.group
        && *plural == at.plural
        && at.namespace.as_ref().is_none_or(|wanted| wanted == namespace)
        && terms.into_iter().all(|term| fits(object, term))
}

fn fits(object: &Value, term: &str) -> bool {
    let (path, wanted, is_meant) = match (term.split_once("!="), term.split_once('=')) {
        (Some((path, value)), _) => (path, value, false),
        (None, Some((path, value))) => (path, value, true),
        (None, None) => return false,
    };
    let found = object.pointer(&format!("/{}", path.replace('.', "/"))).and_then(Value::as_str).unwrap_or_default();
    (found == wanted.trim_start_matches('=')) == is_meant
}

fn metadata(object: &mut Value) -> &mut Map<String, Value> {
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    object["metadata"].as_object_mut().unwrap_or_else(|| unreachable!("it was made an object"))
}

#[cfg(test)]
mod tests;
