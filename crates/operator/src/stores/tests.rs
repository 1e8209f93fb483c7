//! A store never goes back in time, whatever order events come in.

use serde_json::json;

use super::*;

struct Case {
    stores: Arc<Stores>,
    scope: Scope,
    changes: mpsc::UnboundedReceiver<ObjectKey>,
}

fn deployment(version: u64, replicas: u64) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": replicas},
           "metadata": {"name": "podinfo", "namespace": "test", "uid": "u", "resourceVersion": version.to_string()}})
}

fn key() -> ObjectKey {
    ObjectKey::new(Kind::Deployment, "test", "podinfo")
}

impl Case {
    fn new(listed: Vec<Value>) -> Self {
        let (sender, changes) = mpsc::unbounded_channel();
        let stores = Stores::new(None, sender);
        let scope = stores.scope(&key());
        stores.lock().insert(scope.clone(), Store::new());
        stores.listing(&scope, 10, listed);
        let mut case = Self { stores, scope, changes };
        case.woken();
        case
    }

    fn replicas(&self) -> Option<u64> {
        match self.stores.peek(&key()) {
            Look::Present(object) => object["spec"]["replicas"].as_u64(),
            Look::Absent | Look::Ask | Look::Unknown(_) => None,
        }
    }

    fn woken(&mut self) -> usize {
        std::iter::from_fn(|| self.changes.try_recv().ok()).count()
    }
}

#[test]
fn a_write_of_ours_is_seen_at_once_and_an_older_event_does_not_undo_it() {
    let mut case = Case::new(vec![deployment(5, 1)]);
    case.stores.wrote(&key(), &deployment(12, 3));
    assert_eq!(case.replicas(), Some(3));
    case.stores.event(&case.scope, &deployment(11, 2), Deletion::No);
    case.stores.event(&case.scope, &deployment(12, 3), Deletion::No);
    assert_eq!((case.replicas(), case.woken()), (Some(3), 0), "our own write wakes nobody");
    case.stores.event(&case.scope, &deployment(13, 4), Deletion::No);
    assert_eq!((case.replicas(), case.woken()), (Some(4), 1));
}

#[test]
fn a_list_that_is_older_than_our_write_does_not_undo_it() {
    let case = Case::new(vec![deployment(5, 1)]);
    case.stores.wrote(&key(), &deployment(12, 3));
    case.stores.listing(&case.scope, 11, vec![deployment(5, 1)]);
    assert_eq!(case.replicas(), Some(3));
    case.stores.listing(&case.scope, 11, vec![]);
    assert_eq!(case.replicas(), Some(3));
    case.stores.listing(&case.scope, 13, vec![]);
    assert_eq!(case.replicas(), None);
}

#[test]
fn a_cluster_that_was_restored_from_a_backup_is_believed() {
    let mut case = Case::new(vec![deployment(9, 3)]);
    case.stores.listing(&case.scope, 4, vec![deployment(2, 1)]);
    assert_eq!((case.replicas(), case.woken()), (Some(1), 1));
}

#[test]
fn what_we_deleted_does_not_come_back_by_a_late_event() {
    let mut case = Case::new(vec![deployment(5, 1)]);
    case.stores.deleted(&key(), "u");
    case.stores.event(&case.scope, &deployment(8, 2), Deletion::No);
    assert_eq!(case.replicas(), None);
    case.stores.event(&case.scope, &deployment(14, 2), Deletion::Yes);
    let mut successor = deployment(15, 7);
    successor["metadata"]["uid"] = "v".into();
    case.stores.event(&case.scope, &successor, Deletion::No);
    assert_eq!((case.replicas(), case.woken()), (Some(7), 1));
}

#[test]
fn the_end_of_a_predecessor_does_not_take_its_successor() {
    let case = Case::new(vec![]);
    let mut successor = deployment(15, 7);
    successor["metadata"]["uid"] = "v".into();
    case.stores.wrote(&key(), &successor);
    case.stores.event(&case.scope, &deployment(14, 2), Deletion::Yes);
    assert_eq!(case.replicas(), Some(7));
}

#[test]
fn of_configs_only_the_metadata_is_kept() {
    let secret = json!({"metadata": {"name": "s", "managedFields": [1]}, "data": {"password": "aHVudGVyMg=="}});
    let kept = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}});
    assert_eq!(strip(Kind::Secret, secret), kept);
}

#[test]
fn samples_of_an_autoscaler_wake_nobody() {
    let scaler = |version: &str, load: u64| json!({"metadata": {"name": "a", "resourceVersion": version}, "spec": {}, "status": {"load": load}});
    let of = |version, load| meaning(Kind::HorizontalPodAutoscaler, &scaler(version, load));
    assert_eq!(of("1", 10), of("2", 20));
    assert_ne!(meaning(Kind::Deployment, &scaler("1", 10)), meaning(Kind::Deployment, &scaler("2", 20)));
}

#[test]
fn a_forbidden_kind_is_asked_for_and_a_failing_one_is_unknown_not_absent() {
    let case = Case::new(vec![]);
    assert!(matches!(case.stores.peek(&key()), Look::Absent));
    case.stores.report(&case.scope, Progress::Forbidden("no".to_owned()));
    assert!(matches!(case.stores.peek(&key()), Look::Ask));
    case.stores.report(&case.scope, Progress::Failing("no kind".to_owned()));
    assert!(matches!(case.stores.peek(&key()), Look::Unknown(reason) if reason == "no kind"));
}

#[test]
fn a_kind_that_can_be_listed_again_wakes_everyone_though_nothing_has_changed() {
    let mut case = Case::new(vec![deployment(5, 1)]);
    case.stores.report(&case.scope, Progress::Failing("no kind".to_owned()));
    assert_eq!(case.woken(), 1, "readers are told that they cannot read");
    case.stores.listing(&case.scope, 11, vec![deployment(5, 1)]);
    let woken: Vec<ObjectKey> = std::iter::from_fn(|| case.changes.try_recv().ok()).collect();
    assert_eq!(woken, [key(), ObjectKey::new(Kind::Deployment, "", "")]);
    case.stores.listing(&case.scope, 12, vec![deployment(5, 1)]);
    assert_eq!((case.replicas(), case.woken()), (Some(1), 0));
}

#[test]
fn a_kind_that_may_not_be_watched_says_which_permission_is_missing_and_is_asked_for() {
    let case = Case::new(vec![deployment(5, 1)]);
    assert_eq!(case.stores.forbidden(&key()), None);
    case.stores.report(&case.scope, Progress::Forbidden("list and watch of deployments is not permitted".to_owned()));
    assert!(matches!(case.stores.peek(&key()), Look::Ask));
    let text = "list and watch of deployments is not permitted";
    assert_eq!(case.stores.forbidden(&key()).as_deref(), Some(text));
}
