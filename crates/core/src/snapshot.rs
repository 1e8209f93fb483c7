//! The last promoted template, kept as a ControllerRevision that the canary owns: a primary that failed or vanished is
//! put back from it, never from a target that nobody analysed (S3, I12). Secrets never stand in it, only their names.
//!
//! The copies of configs that a promotion replaces are kept until it has succeeded, because they have one name for all
//! revisions, which is the contract's. They are kept in one Secret: some of them are secret, and one object with one name
//! leaves nothing behind.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::digest::{digest, hex};
use crate::object::is_owned_by;
use crate::rollout::Rollout;
use crate::tracked::status_key;
use crate::world::{Kind, ObjectKey};

/// Where the template of a revision is kept. The name holds the digest, so writing it twice writes the same.
pub fn key(rollout: &Rollout, revision: &str) -> ObjectKey {
    rollout.key(Kind::ControllerRevision, &format!("{}-{revision}", rollout.name))
}

/// Whether a name may be that of a template which is kept for this canary.
pub fn is_key_of(canary: &str, name: &str) -> bool {
    name.strip_prefix(canary).and_then(|rest| rest.strip_prefix('-')).is_some_and(|revision| !revision.is_empty())
}

/// Whether an object keeps the template of this revision: it is the canary's, and holds what its name says. An owner can be
/// planted, and so can a content, but no other content has this digest (I27).
pub fn is_true(rollout: &Rollout, revision: &str, object: &Value) -> bool {
    is_owned_by(object, &rollout.uid) && digest(&template(object)) == revision
}

/// Where the configs of the last promoted revision are kept while a promotion is under way.
pub fn configs_key(rollout: &Rollout) -> ObjectKey {
    rollout.key(Kind::Secret, &format!("{}-promoted-configs", rollout.name))
}

/// The object that keeps a template, and which of the configs that it mentions are tracked.
pub fn object(rollout: &Rollout, revision: &str, template: &Value, tracked: &[ObjectKey]) -> Value {
    json!({
        "apiVersion": Kind::ControllerRevision.api_version(),
        "kind": Kind::ControllerRevision.name(),
        "metadata": {
            "name": key(rollout, revision).name,
            "namespace": rollout.namespace,
            "ownerReferences": [rollout.owner_reference()],
        },
        "revision": 1,
        "data": {"template": template, "tracked": tracked.iter().map(status_key).collect::<Vec<_>>()},
    })
}

/// The template in such an object.
pub fn template(object: &Value) -> Value {
    object["data"]["template"].clone()
}

/// The tracked configs that the template in such an object mentions; none if it does not say.
pub fn tracked(object: &Value) -> Option<Vec<ObjectKey>> {
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
    let key = |text: &Value| {
        let (kind, name) = text.as_str()?.split_once('/')?;
        let kind = [Kind::ConfigMap, Kind::Secret].into_iter().find(|known| known.name().to_lowercase() == kind)?;
        Some(ObjectKey::new(kind, namespace, name))
    };
    object["data"]["tracked"].as_array().map(|list| list.iter().filter_map(key).collect())
}

/// The `flagger-id` of a primary: a UUID (version 4 in form) that follows from the canary, the revision and the occasion.
/// The contract's is random; this one lets a restarted operator see whether it has already copied.
pub fn flagger_id(canary_uid: &str, revision: &str, occasion: &str) -> String {
    let hash = Sha256::digest(format!("{canary_uid}/{revision}/{occasion}"));
    let mut bytes = [0_u8; 16];
    bytes.copy_from_slice(&hash[..16]);
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let digits = hex(&bytes);
    format!("{}-{}-{}-{}-{}", &digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_template_names_the_configs_that_were_copied_for_it() {
        let tracked = [ObjectKey::new(Kind::ConfigMap, "test", "env"), ObjectKey::new(Kind::Secret, "test", "token")];
        let rollout = crate::fixtures::rollout(&json!({}));
        assert_eq!(super::tracked(&object(&rollout, "b1-0", &json!({}), &tracked)), Some(tracked.to_vec()));
        assert_eq!(super::tracked(&json!({"data": {"template": {}}})), None, "an older one does not say");
    }

    #[test]
    fn an_id_is_a_version_4_uuid_and_differs_by_occasion() {
        let id = flagger_id("uid", "b1-0", "bootstrap");
        assert_eq!(id.len(), 36);
        assert_eq!(id.as_bytes()[14], b'4');
        assert!(matches!(id.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
        assert_eq!(id, flagger_id("uid", "b1-0", "bootstrap"));
        assert_ne!(id, flagger_id("uid", "b1-0", "promotion"));
    }
}
