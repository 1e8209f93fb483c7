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
use crate::tick_context::TickContext;

/// Keeps an object. One of the same name that is there already is as good only if it is the canary's and holds the same.
pub(super) async fn keep(operator: &Operator, context: &TickContext, object: &Value) -> Result<(), Stopped> {
    let key = key_of(object)?;
    let conflict = match create(operator, context, object).await {
        Ok(written) => {
            remember(operator, context, &key, &written);
            return Ok(());
        }
        Err(stopped @ Stopped::Conflict(..)) => stopped,
        Err(stopped) => return Err(stopped),
    };
    let seen = judge(operator, &key, "get", operator.cluster.look(&key).await)?.map(Seen::known);
    let Some(seen) = seen else { return Err(conflict) };
    let is_same = are_alike(&seen["data"], &object["data"]);
    match ownership::holder(&seen, &context.bounds) {
        Holder::Ours if is_same => {
            remember(operator, context, &key, &seen);
            Ok(())
        }
        // One that was orphaned holds nothing that is not made anew.
        Holder::Nobody if !is_same => Err(taken(context, &key, &Holder::Nobody)),
        Holder::Ours | Holder::Nobody => {
            delete(operator, context, &key, &context.bounds.owned(seen)).await?;
            let written = create(operator, context, object).await?;
            remember(operator, context, &key, &written);
            Ok(())
        }
        holder @ (Holder::Leaving | Holder::Another(_)) => Err(taken(context, &key, &holder)),
    }
}

/// What stands in the way of a write, for the user.
fn taken(context: &TickContext, key: &ObjectKey, holder: &Holder) -> Stopped {
    Stopped::Failed(ownership::taken(key, holder, context.bounds.name()))
}

fn remember(operator: &Operator, context: &TickContext, key: &ObjectKey, written: &Value) {
    let uid = written["metadata"]["uid"].as_str().unwrap_or_default();
    lock(&operator.memory(&context.key)).kept.insert(key.clone(), uid.to_owned());
}

/// Drops what the canary has made, and nothing that others put in its place. What this process kept itself needs no look.
pub(super) async fn drop_kept(operator: &Operator, context: &TickContext, key: &ObjectKey) -> Result<(), Stopped> {
    let remembered = lock(&operator.memory(&context.key)).kept.remove(key);
    let seen = match (operator.stores.peek(key), remembered) {
        (Look::Absent, _) => return Ok(()),
        (Look::Present(_) | Look::Ask | Look::Unknown(_), Some(uid)) => {
            Some(json!({"metadata": {"uid": uid, "ownerReferences": [context.bounds.owner()]}}))
        }
        (Look::Present(seen), None) if !key.kind.is_confidential() => Some(Value::clone(&seen)),
        (Look::Present(_) | Look::Ask | Look::Unknown(_), None) => {
            judge(operator, key, "get", operator.cluster.get(key).await)?
        }
    };
    match seen {
        Some(seen) if ownership::holder(&seen, &context.bounds) == Holder::Ours => {
            delete(operator, context, key, &seen).await
        }
        Some(_) => {
            tracing::warn!(canary = context.title(), "{key} is not the canary's and stays");
            Ok(())
        }
        None => Ok(()),
    }
}

/// Copies a tracked object, but only with the content that was analysed (S22).
pub(super) async fn copy_config(operator: &Operator, context: &TickContext, copy: &ConfigCopy) -> Result<(), Stopped> {
    let source = judge(operator, &copy.source, "get", operator.cluster.get(&copy.source).await)?;
    let Some(source) = source.filter(|source| tracked::checksum(source) == copy.checksum) else {
        let message = format!("{} is no longer what was analysed", copy.source);
        return Err(Stopped::Conflict(copy.source.clone(), message));
    };
    put_config(operator, context, &copy.key(), |seen| tracked::copy(&source, copy, seen)).await
}

/// Makes a copy as wanted; the version that is replaced is the one that was just read.
async fn put_config(
    operator: &Operator,
    context: &TickContext,
    key: &ObjectKey,
    wanted: impl Fn(Option<&Value>) -> Value,
) -> Result<(), Stopped> {
    let Some(seen) = judge(operator, key, "get", operator.cluster.get(key).await)? else {
        let written = create(operator, context, &wanted(None)).await?;
        // Or the first promotion would read what was written here.
        operator.configs.note(key, &written, clock::steady());
        return Ok(());
    };
    let desired = wanted(Some(&seen));
    if !ownership::is_copy_free(&seen, &desired, &context.bounds) {
        return Err(taken(context, key, &ownership::holder(&seen, &context.bounds)));
    }
    if seen == desired {
        operator.configs.note(key, &seen, clock::steady());
        Ok(())
    } else if tracked::is_replaceable(&seen, &desired) {
        replace(operator, context, &desired).await
    } else {
        delete(operator, context, key, &seen).await?;
        create(operator, context, &wanted(None)).await.map(drop)
    }
}

/// Keeps the copies that are about to get another content, unless what was promoted last is kept already. What is kept is
/// noted in the status before anything else is done: only what was noted is ever put back.
pub(super) async fn keep_configs(
    operator: &Operator,
    context: &mut TickContext,
    key: &ObjectKey,
    copies: &[ConfigCopy],
) -> Result<(), Stopped> {
    if let Some(noted) = noted(context) {
        let known = judge(operator, key, "get", operator.cluster.get(key).await)?;
        if known.is_some_and(|known| is_true(context, &noted, &known)) {
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
    keep(operator, context, &bundle).await?;
    note(operator, context, &tracked::seal(&bundle)).await
}

fn noted(context: &TickContext) -> Option<String> {
    context.canary.status.as_ref()?.run.as_ref()?.kept_configs.clone()
}

fn is_true(context: &TickContext, noted: &str, bundle: &Value) -> bool {
    ownership::holder(bundle, &context.bounds) == Holder::Ours && tracked::seal(bundle) == noted
}

/// Notes what is kept. The status that the rest of the plan would write does not know of it: it is decided anew.
async fn note(operator: &Operator, context: &mut TickContext, seal: &str) -> Result<(), Stopped> {
    may_write(operator)?;
    let version = context.canary.metadata.resource_version.as_deref();
    let operations = json!([
        {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
        {"op": "add", "path": "/status/run/keptConfigs", "value": seal},
    ]);
    let key = context.key.clone();
    let written = judge(operator, &key, "patch status", operator.cluster.patch_status(&key, &operations).await)?;
    follow(operator, context, &key, &written);
    Err(Stopped::Noted)
}

/// Puts back the configs that were kept.
pub(super) async fn restore_configs(
    operator: &Operator,
    context: &TickContext,
    key: &ObjectKey,
) -> Result<(), Stopped> {
    let Some(bundle) = judge(operator, key, "get", operator.cluster.get(key).await)? else { return Ok(()) };
    if !noted(context).is_some_and(|noted| is_true(context, &noted, &bundle)) {
        let text = format!("{key} is not what was kept of the promoted revision, no config is put back from it");
        return Err(Stopped::Failed(text));
    }
    for kept in tracked::unbundle(&bundle) {
        let own = key_of(&kept)?;
        let wanted = |seen: Option<&Value>| context.bounds.owned(tracked::restored(&own, &kept, seen));
        put_config(operator, context, &own, wanted).await?;
    }
    Ok(())
}
