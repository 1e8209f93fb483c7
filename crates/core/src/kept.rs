//! The last promoted template, kept as a ControllerRevision that the canary owns: a primary that failed or vanished is
//! put back from it, never from a target that nobody analysed (S3, I12). Secrets never stand in it, only their names.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::digest::hex;
use crate::rollout::Rollout;
use crate::world::{Kind, ObjectKey};

/// Where the template of a revision is kept. The name holds the digest, so writing it twice writes the same.
pub fn key(rollout: &Rollout, revision: &str) -> ObjectKey {
    rollout.key(Kind::ControllerRevision, &format!("{}-{revision}", rollout.name))
}

/// The object that keeps a template.
pub fn object(rollout: &Rollout, revision: &str, template: &Value) -> Value {
    json!({
        "apiVersion": Kind::ControllerRevision.api_version(),
        "kind": Kind::ControllerRevision.name(),
        "metadata": {
            "name": key(rollout, revision).name,
            "namespace": rollout.namespace,
            "ownerReferences": [rollout.owner_reference()],
        },
        "revision": 1,
        "data": {"template": template},
    })
}

/// The template in such an object.
pub fn template(object: &Value) -> Value {
    object["data"]["template"].clone()
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
    fn an_id_is_a_version_4_uuid_and_differs_by_occasion() {
        let id = flagger_id("uid", "b1-0", "bootstrap");
        assert_eq!(id.len(), 36);
        assert_eq!(id.as_bytes()[14], b'4');
        assert!(matches!(id.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
        assert_eq!(id, flagger_id("uid", "b1-0", "bootstrap"));
        assert_ne!(id, flagger_id("uid", "b1-0", "promotion"));
    }
}
