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
        let stores = Stores::new(BTreeSet::new(), sender);
        let scope = stores.scope(&key());
        stores.lock().insert(scope.clone(), Store::new());
        stores.want([&key()]);
        let mut case = Self { stores, scope, changes };
        case.list(10, listed);
        case.woken();
        case
    }

    fn list(&self, version: u64, objects: Vec<Value>) {
        self.stores.list(&self.scope, version, objects);
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
fn what_a_watch_has_shown_to_be_gone_is_not_brought_back_by_an_answer_that_was_on_its_way() {
    let mut case = Case::new(vec![deployment(5, 1)]);
    case.stores.event(&case.scope, deployment(11, 1), Deletion::Yes);
    case.stores.wrote(&key(), &deployment(10, 2));
    case.stores.shown(&case.scope, deployment(10, 2));
    assert_eq!((case.replicas(), case.woken()), (None, 1));
    case.list(8, vec![deployment(5, 1)]);
    assert_eq!(case.replicas(), Some(1), "the cluster has gone back in time");
}

#[test]
fn a_write_of_ours_is_seen_at_once_and_an_older_event_does_not_undo_it() {
    let mut case = Case::new(vec![deployment(5, 1)]);
    case.stores.wrote(&key(), &deployment(12, 3));
    assert_eq!(case.replicas(), Some(3));
    case.stores.event(&case.scope, deployment(11, 2), Deletion::No);
    case.stores.event(&case.scope, deployment(12, 3), Deletion::No);
    assert_eq!((case.replicas(), case.woken()), (Some(3), 0), "our own write wakes nobody");
    case.stores.event(&case.scope, deployment(13, 4), Deletion::No);
    assert_eq!((case.replicas(), case.woken()), (Some(4), 1));
}

#[test]
fn a_list_that_is_older_than_our_write_does_not_undo_it() {
    let case = Case::new(vec![deployment(5, 1)]);
    case.stores.wrote(&key(), &deployment(12, 3));
    case.list(11, vec![deployment(5, 1)]);
    assert_eq!(case.replicas(), Some(3));
    case.list(11, vec![]);
    assert_eq!(case.replicas(), Some(3));
    case.list(13, vec![]);
    assert_eq!(case.replicas(), None);
}

#[test]
fn a_cluster_that_was_restored_from_a_backup_is_believed() {
    let mut case = Case::new(vec![deployment(9, 3)]);
    case.list(4, vec![deployment(2, 1)]);
    assert_eq!((case.replicas(), case.woken()), (Some(1), 1));
}

#[test]
fn what_we_deleted_does_not_come_back_by_a_late_event() {
    let mut case = Case::new(vec![deployment(5, 1)]);
    case.stores.deleted(&key(), "u");
    case.stores.event(&case.scope, deployment(8, 2), Deletion::No);
    assert_eq!(case.replicas(), None);
    case.stores.event(&case.scope, deployment(14, 2), Deletion::Yes);
    let mut successor = deployment(15, 7);
    successor["metadata"]["uid"] = "v".into();
    case.stores.event(&case.scope, successor, Deletion::No);
    assert_eq!((case.replicas(), case.woken()), (Some(7), 1));
}

#[test]
fn what_we_deleted_is_forgotten_when_a_list_does_not_show_it() {
    let case = Case::new(vec![deployment(5, 1)]);
    let taken_out = || case.stores.sizes().into_iter().find(|(what, _)| *what == "taken out").map(|(_, count)| count);
    case.stores.deleted(&key(), "u");
    case.list(11, vec![deployment(5, 1)]);
    assert_eq!((taken_out(), case.replicas()), (Some(1), None), "the list is from before the deletion");
    case.list(13, vec![]);
    assert_eq!(taken_out(), Some(0));
    case.stores.event(&case.scope, deployment(5, 2), Deletion::No);
    assert_eq!(case.replicas(), None, "an answer that was on its way brings nothing back");
}

#[test]
fn what_we_deleted_is_there_again_when_the_cluster_was_restored() {
    let case = Case::new(vec![deployment(9, 3)]);
    case.stores.deleted(&key(), "u");
    case.list(4, vec![deployment(2, 1)]);
    assert_eq!(case.replicas(), Some(1));
}

#[test]
fn the_end_of_a_predecessor_does_not_take_its_successor() {
    let case = Case::new(vec![]);
    let mut successor = deployment(15, 7);
    successor["metadata"]["uid"] = "v".into();
    case.stores.wrote(&key(), &successor);
    case.stores.event(&case.scope, deployment(14, 2), Deletion::Yes);
    assert_eq!(case.replicas(), Some(7));
}

#[test]
fn of_configs_only_the_metadata_is_kept() {
    let secret = json!({"metadata": {"name": "s", "managedFields": [1]}, "data": {"password": "aHVudGVyMg=="}});
    let kept = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}});
    assert_eq!(strip(Kind::Secret, secret), kept);
}

#[test]
fn of_workloads_that_nobody_wants_the_labels_of_their_pods_are_known() {
    let case = Case::new(vec![]);
    let labelled = |name: &str, namespace: &str, labels: &Value| {
        let mut object = deployment(11, 1);
        object["metadata"]["name"] = name.into();
        object["metadata"]["namespace"] = namespace.into();
        object["metadata"]["uid"] = format!("{namespace}-{name}").into();
        object["spec"]["template"] = json!({"metadata": {"labels": labels}});
        object
    };
    let labels = json!({"app": "podinfo"});
    let long = json!({"app": "x".repeat(4_000)});
    for (name, namespace, labels) in
        [("a", "other", &labels), ("eu", "test", &labels), ("long", "test", &long), ("z", "tests", &labels)]
    {
        case.stores.event(&case.scope, labelled(name, namespace, labels), Deletion::No);
    }
    assert_eq!(case.stores.workloads("test"), [(ObjectKey::new(Kind::Deployment, "test", "eu"), labels.clone())]);
    case.stores.event(&case.scope, labelled("eu", "test", &labels), Deletion::Yes);
    assert_eq!(case.stores.workloads("test"), []);
}

fn unrelated(number: u64) -> Value {
    let mut object = deployment(number, 1);
    object["metadata"]["name"] = format!("unrelated-{number}").into();
    object["spec"]["template"] = "x".repeat(4_000).into();
    object
}

impl Stores {
    /// How much is remembered, by what. What is gone is remembered of the last ones only.
    pub(crate) fn sizes(&self) -> Vec<(&'static str, usize)> {
        let Self { vitals: _, namespaces: _, by_scope, wanted, news: _, changes: _ } = self;
        let (mut known, mut taken_out) = (0, 0);
        for Store { progress: _, objects, deleted, gone: _, version: _ } in lock(by_scope).values() {
            known += objects.len();
            taken_out += deleted.len();
        }
        vec![("objects", known), ("taken out", taken_out), ("wanted", lock(wanted).len())]
    }

    /// Takes in a complete list.
    pub(crate) fn list(&self, scope: &Scope, version: u64, objects: Vec<Value>) {
        let arrivals = objects.into_iter().filter_map(|object| self.arrival(scope.kind, object));
        self.listing(scope, version, arrivals.collect());
    }

    /// Bytes of all objects that are kept, names included.
    fn size(&self) -> usize {
        let stores = self.lock();
        let objects = stores.values().flat_map(|store| &store.objects);
        let size = |((namespace, name), stored): (&(String, String), &Stored)| {
            let texts =
                namespace.len() + name.len() + stored.uid.len() + stored.json.as_ref().map_or(0, |json| json.len());
            size_of::<((String, String), Stored)>() + texts
        };
        objects.map(size).sum()
    }
}

#[test]
fn of_a_thousand_objects_that_no_canary_wants_only_their_names_are_kept() {
    let objects = (1..=1_000).map(unrelated).chain([deployment(5, 3)]).collect();
    let case = Case::new(objects);
    assert!(case.stores.size() < 250_000, "{} bytes", case.stores.size());
    assert_eq!(case.replicas(), Some(3), "what is wanted is whole");
    case.stores.unwant(&key());
    assert!(matches!(case.stores.peek(&key()), Look::Ask), "it is there, but nothing is known of it");
    assert!(!matches!(case.stores.peek(&ObjectKey::new(Kind::Deployment, "test", "none")), Look::Ask));
}

#[tokio::test]
async fn an_object_that_a_canary_wants_later_is_asked_for_once() {
    let fake = crate::fixtures::Fake::start(|_| crate::fixtures::object(&unrelated(7))).await;
    let (cluster, case) = (fake.operator().cluster.clone(), Case::new((1..=9).map(unrelated).collect()));
    let late = ObjectKey::new(Kind::Deployment, "test", "unrelated-7");
    case.stores.want([&late]);
    for _ in 0..2 {
        let Look::Present(object) = case.stores.look(&cluster, &late).await else { panic!("it is there") };
        assert_eq!(object["spec"], unrelated(7)["spec"]);
    }
    assert_eq!(fake.seen().len(), 1);
    let mut newer = unrelated(7);
    newer["metadata"]["resourceVersion"] = "20".into();
    newer["spec"]["replicas"] = 5.into();
    case.stores.event(&case.scope, newer, Deletion::No);
    let Look::Present(object) = case.stores.look(&cluster, &late).await else { panic!("it is there") };
    assert_eq!((object["spec"]["replicas"].as_u64(), fake.seen().len()), (Some(5), 1), "the watch goes on with it");
}

/// Reads a Deployment anew that the API server has at this version, or of which it says that it is missing. Answers its
/// replicas afterwards, and how many were woken.
async fn renewed(case: &mut Case, has: Result<Value, &'static str>) -> (Option<u64>, usize) {
    let answer = move |_: &crate::fixtures::Seen| match &has {
        Ok(has) => crate::fixtures::object(has),
        Err(missing) => crate::fixtures::failure(404, missing),
    };
    let fake = crate::fixtures::Fake::start(answer).await;
    case.stores.renew(&fake.operator().cluster, &key()).await;
    assert_eq!(fake.seen().len(), 1);
    (case.replicas(), case.woken())
}

#[tokio::test]
async fn what_is_read_anew_is_entered_if_it_is_newer_and_wakes_whoever_looks_at_it() {
    let mut case = Case::new(vec![deployment(5, 1)]);
    assert_eq!(renewed(&mut case, Ok(deployment(4, 9))).await, (Some(1), 0), "it is older");
    assert_eq!(renewed(&mut case, Ok(deployment(12, 3))).await, (Some(3), 1));
    case.stores.event(&case.scope, deployment(12, 3), Deletion::No);
    assert_eq!((case.replicas(), case.woken()), (Some(3), 0), "the watch has nothing new to tell");
    assert_eq!(renewed(&mut case, Err("404 page not found")).await, (Some(3), 0), "the server has just started");
    assert_eq!(renewed(&mut case, Err("deployments.apps \"podinfo\" not found")).await, (None, 1));
    case.stores.event(&case.scope, deployment(13, 4), Deletion::No);
    assert_eq!((case.replicas(), case.woken()), (None, 0), "it is late");
}

#[tokio::test]
async fn what_no_watch_covers_is_not_read_anew_because_each_tick_reads_it() {
    let fake = crate::fixtures::Fake::start(|_| crate::fixtures::object(&deployment(12, 3))).await;
    let (cluster, case) = (fake.operator().cluster.clone(), Case::new(vec![]));
    case.stores.report(&case.scope, Progress::Forbidden("no".to_owned()));
    case.stores.renew(&cluster, &key()).await;
    case.stores.renew(&cluster, &ObjectKey::new(Kind::ControllerRevision, "test", "kept")).await;
    assert_eq!(fake.seen(), []);
}

#[test]
fn an_answer_that_is_no_object_is_not_kept() {
    let case = Case::new(vec![deployment(5, 3)]);
    case.stores.wrote(&key(), &json!([]));
    case.stores.event(&case.scope, json!("odd"), Deletion::No);
    assert_eq!(case.replicas(), Some(3));
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
    case.list(11, vec![deployment(5, 1)]);
    let woken: Vec<ObjectKey> = std::iter::from_fn(|| case.changes.try_recv().ok()).collect();
    assert_eq!(woken, [key(), ObjectKey::new(Kind::Deployment, "", "")]);
    case.list(12, vec![deployment(5, 1)]);
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

#[test]
fn with_namespaces_nothing_is_watched_everywhere() {
    let check = |namespaces: &[&str], key: ObjectKey, expected: Option<&str>| {
        let (changes, _) = mpsc::unbounded_channel();
        let stores = Stores::new(namespaces.iter().map(|name| (*name).to_owned()).collect(), changes);
        assert_eq!(stores.scope(&key).namespace.as_deref(), expected, "{namespaces:?} {key}");
        let own = stores.own_scopes(Kind::Canary).into_iter().map(|scope| scope.namespace).collect::<Vec<_>>();
        let expected_own: Vec<_> = namespaces.iter().map(|name| Some((*name).to_owned())).collect();
        assert_eq!(own, if namespaces.is_empty() { vec![None] } else { expected_own });
    };
    check(&[], key(), None);
    check(&[], ObjectKey::new(Kind::Secret, "test", "token"), None);
    check(&["a", "test"], key(), Some("test"));
    check(&["test"], ObjectKey::new(Kind::MetricTemplate, "monitoring", "errors"), Some("monitoring"));
}
