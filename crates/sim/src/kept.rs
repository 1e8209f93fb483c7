//! What is kept for a canary and copied for its primary, with the operator's rules: what is read back counts only if it is
//! the canary's and is what the status remembers. It decides nothing.

use burgee_core::bounds::Bounds;
use burgee_core::ownership::{self, Holder};
use burgee_core::plan::ConfigCopy;
use burgee_core::reconcile::are_alike;
use burgee_core::tracked;
use burgee_core::world::ObjectKey;
use serde_json::{Value, json};

use crate::cluster::{Cluster, Refusal};

impl Cluster {
    /// Keeps an object, unless it is there already: the canary's, with the same content.
    pub(crate) fn keep(&mut self, bounds: &Bounds, object: &Value) -> Result<(), Refusal> {
        let refusal = match self.create(object.clone()) {
            Err(Refusal::Conflict(key)) => key,
            done => return done,
        };
        let Some(seen) = self.get(&refusal).cloned() else { return Ok(()) };
        let is_same = are_alike(&seen["data"], &object["data"]);
        match ownership::holder(&seen, bounds) {
            Holder::Ours if is_same => Ok(()),
            Holder::Nobody if !is_same => Ok(()),
            Holder::Ours | Holder::Nobody => {
                self.delete(&refusal);
                self.create(object.clone())
            }
            Holder::Leaving | Holder::Another(_) => Ok(()),
        }
    }

    /// Drops what is the canary's.
    pub(crate) fn drop_kept(&mut self, bounds: &Bounds, key: &ObjectKey) {
        if self.get(key).is_some_and(|seen| ownership::holder(seen, bounds) == Holder::Ours) {
            self.delete(key);
        }
    }

    /// Copies a config for the primary, if its content is still what it was. An immutable copy that differs is deleted
    /// first.
    pub(crate) fn copy_config(&mut self, bounds: &Bounds, copy: &ConfigCopy) -> Result<(), Refusal> {
        let source = self.get(&copy.source).ok_or_else(|| Refusal::Conflict(copy.source.clone()))?.clone();
        if tracked::checksum(&source) != copy.checksum {
            return Err(Refusal::Conflict(copy.source.clone()));
        }
        self.put_config(bounds, &copy.key(), |seen| tracked::copy(&source, copy, seen))
    }

    fn put_config(
        &mut self,
        bounds: &Bounds,
        key: &ObjectKey,
        wanted: impl Fn(Option<&Value>) -> Value,
    ) -> Result<(), Refusal> {
        let Some(seen) = self.get(key) else { return self.create(wanted(None)) };
        let desired = wanted(Some(seen));
        if !ownership::is_copy_free(seen, &desired, bounds) {
            return Err(Refusal::Invalid(ownership::taken(key, &ownership::holder(seen, bounds), bounds.name())));
        }
        if tracked::is_replaceable(seen, &desired) {
            return self.replace(desired);
        }
        self.delete(key);
        self.create(wanted(None))
    }

    /// Keeps the copies that are about to get another content, unless that was done before, and notes what is kept.
    pub(crate) fn keep_configs(
        &mut self,
        bounds: &Bounds,
        (canary, version): (&ObjectKey, Option<&str>),
        (key, copies): (&ObjectKey, &[ConfigCopy]),
    ) -> Result<Noting, Refusal> {
        let noted = self.noted(canary);
        if self.get(key).is_some_and(|known| is_true(bounds, &noted, known)) {
            return Ok(Noting::Nothing);
        }
        let old = copies.iter().filter_map(|copy| self.get(&copy.key()).map(|seen| (copy, seen)));
        let old = old.filter(|(copy, seen)| tracked::checksum(seen) != copy.checksum);
        let old: Vec<Value> = old.map(|(_, seen)| seen.clone()).collect();
        let Some(copy) = copies.first().filter(|_| !old.is_empty()) else { return Ok(Noting::Nothing) };
        let Some(bundle) = tracked::bundle(key, &copy.owner, &old) else { return Ok(Noting::Nothing) };
        self.keep(bounds, &bundle)?;
        let seal = tracked::seal(&bundle);
        self.patch(
            canary,
            &json!([
                {"op": "test", "path": "/metadata/resourceVersion", "value": version},
                {"op": "add", "path": "/status/run/keptConfigs", "value": seal},
            ]),
        )?;
        Ok(Noting::Seal)
    }

    fn noted(&self, canary: &ObjectKey) -> Value {
        self.get(canary).map(|canary| canary["status"]["run"]["keptConfigs"].clone()).unwrap_or_default()
    }

    /// Puts back the copies that were kept.
    pub(crate) fn restore_configs(
        &mut self,
        bounds: &Bounds,
        canary: &ObjectKey,
        key: &ObjectKey,
    ) -> Result<(), Refusal> {
        let noted = self.noted(canary);
        let bundle = self.get(key).filter(|bundle| is_true(bounds, &noted, bundle));
        for kept in bundle.map(tracked::unbundle).unwrap_or_default() {
            let Some(own) = ObjectKey::of(&kept) else { continue };
            self.put_config(bounds, &own, |seen| bounds.owned(tracked::restored(&own, &kept, seen)))?;
        }
        Ok(())
    }
}

/// What a step has noted in the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Noting {
    /// Nothing.
    Nothing,
    /// What is kept: the plan has to be made anew.
    Seal,
}

fn is_true(bounds: &Bounds, noted: &Value, bundle: &Value) -> bool {
    ownership::holder(bundle, bounds) == Holder::Ours && *noted == tracked::seal(bundle).as_str()
}
