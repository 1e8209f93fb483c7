//! What is kept for a canary and what is copied for its primary: the promoted template and the configs. What is read back
//! counts only if it is the canary's and is what the status remembers (I27); otherwise it is as if it were not there.

use burgee_core::ownership::{self, Holder};
use burgee_core::plan::ConfigCopy;
use burgee_core::reconcile::are_alike;
use burgee_core::tracked;
use burgee_core::world::ObjectKey;
use serde_json::{Value, json};

use super::{create, delete, follow, judge, key_of, may_write, replace};
use crate::clock;
use crate::cluster::Seen;
use crate::lock::lock;
use crate::operator::Operator;
use crate::stopped::Stopped;
use crate::stores::Look;
use crate::story::Story;

/// Keeps an object. One of the same name that is there already is as good only if it is the canary's and holds the same.
pub(super) async fn keep(operator: &Operator, story: &Story, object: &Value) -> Result<(), Stopped> {
    let key = key_of(object)?;
    let conflict = match create(operator, story, object).await {
        Ok(written) => {
            remember(operator, story, &key, &written);
            return Ok(());
        }
        Err(stopped @ Stopped::Conflict(..)) => stopped,
        Err(stopped) => return Err(stopped),
    };
    let seen = judge(operator, &key, "get", operator.cluster.look(&key).await)?.map(Seen::known);
    let Some(seen) = seen else { return Err(conflict) };
    let is_same = are_alike(&seen["data"], &object["data"]);
    match ownership::holder(&seen, &story.bounds) {
        Holder::Ours if is_same => {
            remember(operator, story, &key, &seen);
            Ok(())
        }
        // One that was orphaned holds nothing that is not made anew.
        Holder::Nobody if !is_same => Err(taken(story, &key, &Holder::Nobody)),
        Holder::Ours | Holder::Nobody => {
            delete(operator, story, &key, &story.bounds.owned(seen)).await?;
            let written = create(operator, story, object).await?;
            remember(operator, story, &key, &written);
            Ok(())
        }
        holder @ (Holder::Leaving | Holder::Another(_)) => Err(taken(story, &key, &holder)),
    }
}

/// What stands in the way of a write, for the user.
fn taken(story: &Story, key: &ObjectKey, holder: &Holder) -> Stopped {
    Stopped::Failed(ownership::taken(key, holder, story.bounds.name()))
}

fn remember(operator: &Operator, story: &Story, key: &ObjectKey, written: &Value) {
    let uid = written["metadata"]["uid"].as_str().unwrap_or_default();
    lock(&operator.memory(&story.key)).kept.insert(key.clone(), uid.to_owned());
}

/// Drops what the canary has made, and nothing that others put in its place. What this process kept itself needs no look.
pub(super) async fn drop_kept(operator: &Operator, story: &Story, key: &ObjectKey) -> Result<(), Stopped> {
    let remembered = lock(&operator.memory(&story.key)).kept.remove(key);
    let seen = match (operator.stores.peek(key), remembered) {
        (Look::Absent, _) => return Ok(()),
        (Look::Present(_) | Look::Ask | Look::Unknown(_), Some(uid)) => {
            Some(json!({"metadata": {"uid": uid, "ownerReferences": [story.bounds.owner()]}}))
        }
        (Look::Present(seen), None) if !key.kind.is_confidential() => Some(Value::clone(&seen)),
        (Look::Present(_) | Look::Ask | Look::Unknown(_), None) => {
            judge(operator, key, "get", operator.cluster.get(key).await)?
        }
    };
    match seen {
        Some(seen) if ownership::holder(&seen, &story.bounds) == Holder::Ours => {
            delete(operator, story, key, &seen).await
        }
        Some(_) => {
            tracing::warn!(canary = story.title(), "{key} is not the canary's and stays");
            Ok(())
        }
        None => Ok(()),
    }
}

/// Copies a tracked object, but only with the content that was analysed (S22).
pub(super) async fn copy_config(operator: &Operator, story: &Story, copy: &ConfigCopy) -> Result<(), Stopped> {
    let source = judge(operator, &copy.source, "get", operator.cluster.get(&copy.source).await)?;
    let Some(source) = source.filter(|source| tracked::checksum(source) == copy.checksum) else {
        let message = format!("{} is no longer what was analysed", copy.source);
        return Err(Stopped::Conflict(copy.source.clone(), message));
    };
    put_config(operator, story, &copy.key(), |seen| tracked::copy(&source, copy, seen)).await
}

/// Makes a copy as wanted; the version that is replaced is the one that was just read.
async fn put_config(
    operator: &Operator,
    story: &Story,
    key: &ObjectKey,
    wanted: impl Fn(Option<&Value>) -> Value,
) -> Result<(), Stopped> {
    let Some(seen) = judge(operator, key, "get", operator.cluster.get(key).await)? else {
        let written = create(operator, story, &wanted(None)).await?;
        // Or the first promotion would read what was written here.
        operator.configs.note(key, &written, clock::steady());
        return Ok(());
    };
    let desired = wanted(Some(&seen));
    if !ownership::is_copy_free(&seen, &desired, &story.bounds) {
        return Err(taken(story, key, &ownership::holder(&seen, &story.bounds)));
    }
    if seen == desired {
        operator.configs.note(key, &seen, clock::steady());
        Ok(())
    } else if tracked::is_replaceable(&seen, &desired) {
        replace(operator, story, &desired).await
    } else {
        delete(operator, story, key, &seen).await?;
        create(operator, story, &wanted(None)).await.map(drop)
    }
}

/// Keeps the copies that are about to get another content, unless what was promoted last is kept already. What is kept is
/// noted in the status before anything else is done: only what was noted is ever put back.
pub(super) async fn keep_configs(
    operator: &Operator,
    story: &mut Story,
    key: &ObjectKey,
    copies: &[ConfigCopy],
) -> Result<(), Stopped> {
    if let Some(noted) = noted(story) {
        let known = judge(operator, key, "get", operator.cluster.get(key).await)?;
        if known.is_some_and(|known| is_true(story, &noted, &known)) {
            return Ok(());
        }
    }
    let mut old = Vec::new();
    for copy in copies {
        let own = copy.key();
        if operator.configs.has(&own, &operator.stores.peek(&own), &copy.checksum) {
            continue;
        }
        let seen = judge(operator, &own, "get", operator.cluster.get(&own).await)?;
        old.extend(seen.filter(|seen| tracked::checksum(seen) != copy.checksum));
    }
    let Some(owner) = copies.first().map(|copy| &copy.owner).filter(|_| !old.is_empty()) else { return Ok(()) };
    let Some(bundle) = tracked::bundle(key, owner, &old) else {
        return Err(Stopped::Failed(format!("{key} would be too large to keep the configs of the primary")));
    };
    keep(operator, story, &bundle).await?;
    note(operator, story, &tracked::seal(&bundle)).await
}

fn noted(story: &Story) -> Option<String> {
    story.canary.status.as_ref()?.run.as_ref()?.kept_configs.clone()
}

fn is_true(story: &Story, noted: &str, bundle: &Value) -> bool {
    ownership::holder(bundle, &story.bounds) == Holder::Ours && tracked::seal(bundle) == noted
}

/// Notes what is kept. The status that the rest of the plan would write does not know of it: it is decided anew.
async fn note(operator: &Operator, story: &mut Story, seal: &str) -> Result<(), Stopped> {
    may_write(operator)?;
    let version = story.canary.metadata.resource_version.as_deref();
    let operations = json!([
        {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
        {"op": "add", "path": "/status/run/keptConfigs", "value": seal},
    ]);
    let key = story.key.clone();
    let written = judge(operator, &key, "patch status", operator.cluster.patch_status(&key, &operations).await)?;
    follow(operator, story, &key, &written);
    Err(Stopped::Noted)
}

/// Puts back the configs that were kept.
pub(super) async fn restore_configs(operator: &Operator, story: &Story, key: &ObjectKey) -> Result<(), Stopped> {
    let Some(bundle) = judge(operator, key, "get", operator.cluster.get(key).await)? else { return Ok(()) };
    if !noted(story).is_some_and(|noted| is_true(story, &noted, &bundle)) {
        let text = format!("{key} is not what was kept of the promoted revision, no config is put back from it");
        return Err(Stopped::Failed(text));
    }
    for kept in tracked::unbundle(&bundle) {
        let own = key_of(&kept)?;
        let wanted = |seen: Option<&Value>| story.bounds.owned(tracked::restored(&own, &kept, seen));
        put_config(operator, story, &own, wanted).await?;
    }
    Ok(())
}
