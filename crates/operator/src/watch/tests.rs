//! A watch over real sockets: whatever the server does wrong, it is noticed, and a new list shows what was missed.

use burgee_apiserver::{ApiServer, Fault, Requests, Times, Verb};
use burgee_core::world::ObjectKey;
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;

use super::*;
use crate::cluster::{Deadlines, connect};
use crate::fixtures::canary;
use crate::stores::Look;

/// Deadlines for tests: a hundredth of what they are.
const SHORT: Deadlines = Deadlines {
    answer: Duration::from_millis(300),
    headers: Duration::from_millis(200),
    silence: Duration::from_millis(500),
    first_list: Duration::from_millis(200),
    watch_seconds: (30, 45),
};

struct Case {
    server: ApiServer,
    cluster: Cluster,
    stores: Arc<Stores>,
    woken: UnboundedReceiver<ObjectKey>,
}

fn scope() -> Scope {
    Scope { kind: Kind::Canary, namespace: None }
}

impl Case {
    async fn new(deadlines: Deadlines) -> Self {
        let server = ApiServer::start().await.unwrap();
        let (changes, woken) = tokio::sync::mpsc::unbounded_channel();
        let client = connect(kube::Config::new(server.url().parse().unwrap())).unwrap();
        let cluster = Cluster::new(client.clone(), client).with(deadlines);
        Self { server, cluster, stores: Stores::new(std::collections::BTreeSet::new(), changes), woken }
    }

    /// Returns when the store has a canary.
    async fn shown(&mut self, name: &str) {
        let key = ObjectKey::new(Kind::Canary, "test", name);
        while !self.stores.has(&key) {
            self.woken.recv().await.unwrap();
        }
    }

    /// Lets the first request of a verb go wrong, while a canary comes that only a new list shows.
    async fn misses_nothing(verb: Verb, fault: Fault) {
        let what = format!("{verb:?} {fault:?}");
        let mut case = Self::new(SHORT).await;
        case.server.put(canary("before"));
        case.server.trouble(Requests::of(verb, "canaries"), fault, Times::Next(1));
        case.stores.start(&case.cluster, &scope());
        case.server.asked(&Requests::of(verb, "canaries"), 1).await;
        case.server.put(canary("after"));
        let noticed = async {
            case.server.asked(&Requests::of(Verb::List, "canaries"), 2).await;
            case.shown("before").await;
            case.shown("after").await;
        };
        let within = Duration::from_secs(20);
        assert!(tokio::time::timeout(within, noticed).await.is_ok(), "{what}: nothing is noticed");
    }
}

/// An API server takes what lies deeper than a reader of JSON goes, where a schema leaves fields open.
fn deep(name: &str) -> Value {
    let mut canary = canary(name);
    canary["spec"]["deep"] = (0..200).fold(json!("end"), |inner, _| json!({"inner": inner}));
    canary["metadata"]["managedFields"] = json!([{"fieldsV1": canary["spec"]["deep"]}]);
    canary["metadata"]["labels"] = json!({"team": "web"});
    canary
}

#[tokio::test]
async fn an_object_that_is_too_deep_to_be_read_hides_no_other() {
    let mut case = Case::new(SHORT).await;
    case.server.put(deep("listed"));
    case.server.put(canary("beside"));
    case.stores.start(&case.cluster, &scope());
    let noticed = async {
        case.shown("beside").await;
        case.shown("listed").await;
        case.server.put(deep("watched"));
        case.server.put(canary("after"));
        case.shown("watched").await;
        case.shown("after").await;
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), noticed).await.is_ok(), "nothing is noticed");
}

#[tokio::test]
async fn a_watch_that_hangs_lies_or_stops_in_the_middle_ends_in_a_new_list() {
    let faults = [
        Fault::HangAfterHeaders,
        Fault::HangInTheMiddle,
        Fault::CutInTheMiddle,
        Fault::Garbage,
        Fault::Lie(json!({"type": "ADDED"})),
        Fault::Lie(json!({"type": "MOVED", "object": canary("a")})),
        Fault::Lie(json!([])),
    ];
    join_all(faults.map(|fault| Case::misses_nothing(Verb::Watch, fault))).await;
}

#[tokio::test]
async fn a_list_that_hangs_or_is_none_ends_in_a_new_list_and_never_empties_the_store() {
    let faults = [
        Fault::Hang,
        Fault::HangAfterHeaders,
        Fault::HangInTheMiddle,
        Fault::CutInTheMiddle,
        Fault::HalfClose,
        Fault::Garbage,
        Fault::NotHttp,
        Fault::Lie(json!({})),
        Fault::Lie(json!([])),
        Fault::Lie(json!({"metadata": {"resourceVersion": "900"}})),
        Fault::Lie(json!({"items": []})),
        Fault::Lie(json!({"metadata": {"resourceVersion": "900"}, "items": [{"spec": {}}]})),
    ];
    join_all(faults.map(|fault| Case::misses_nothing(Verb::List, fault))).await;
}

#[tokio::test]
async fn a_watch_that_is_not_answered_is_opened_again_where_it_was() {
    for fault in [Fault::Hang, Fault::HalfClose, Fault::Cut, Fault::Refuse(503), Fault::NotHttp] {
        let mut case = Case::new(SHORT).await;
        case.server.trouble(Requests::of(Verb::Watch, "canaries"), fault.clone(), Times::Next(1));
        case.stores.start(&case.cluster, &scope());
        case.server.asked(&Requests::of(Verb::Watch, "canaries"), 1).await;
        case.server.put(canary("after"));
        let shown = tokio::time::timeout(Duration::from_secs(20), case.shown("after")).await;
        assert!(shown.is_ok(), "{fault:?}: nothing is noticed");
        assert_eq!(case.server.count(&Requests::of(Verb::List, "canaries")), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_connection_that_falls_silent_blinds_nobody_for_longer_than_silence_is_borne() {
    let mut case = Case::new(SHORT).await;
    case.server.put(canary("before"));
    case.stores.start(&case.cluster, &scope());
    case.shown("before").await;
    case.server.watch_changes().wait_for(|open| *open == 1).await.unwrap();
    case.server.silence();
    case.server.put(canary("after"));
    assert!(tokio::time::timeout(Duration::from_secs(20), case.shown("after")).await.is_ok(), "it stays blind");
}

#[test]
fn every_fault_is_noticed_within_a_minute_and_no_healthy_watch_is_taken_for_dead() {
    let Deadlines { answer, headers, silence, first_list, watch_seconds } = Deadlines::default();
    let open = Duration::from_secs(watch_seconds.1.into());
    assert!(silence > open, "a watch ends by itself before it counts as dead");
    let minute = Duration::from_mins(1);
    assert!([answer, headers, silence, first_list].into_iter().all(|wait| wait + BACKOFF.0 * 2 < minute));
}

#[tokio::test]
async fn a_server_that_ends_every_watch_at_once_is_not_asked_in_a_loop() {
    let case = Case::new(SHORT).await;
    case.server.trouble(Requests::of(Verb::Watch, "canaries"), Fault::Garbage, Times::Always);
    case.stores.start(&case.cluster, &scope());
    case.server.asked(&Requests::of(Verb::List, "canaries"), 2).await;
    let begun = Instant::now();
    case.server.asked(&Requests::of(Verb::List, "canaries"), 3).await;
    assert!(begun.elapsed() >= BACKOFF.0, "{:?}", begun.elapsed());
}

fn secret(namespace: &str) -> ObjectKey {
    ObjectKey::new(Kind::Secret, namespace, "credentials")
}

#[tokio::test]
async fn three_hundred_namespaces_take_one_watch_of_each_kind_of_config() {
    let case = Case::new(Deadlines::default()).await;
    let names: Vec<String> = (0..300).map(|number| format!("team-{number}")).collect();
    for namespace in &names {
        let metadata = json!({"name": "credentials", "namespace": namespace});
        case.server.put(json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"a": "Yg=="}}));
    }
    for namespace in &names {
        case.stores.want([&secret(namespace)]);
        let Look::Present(seen) = case.stores.look(&case.cluster, &secret(namespace)).await else {
            panic!("{namespace}")
        };
        assert!(seen["metadata"]["resourceVersion"].is_string() && seen["data"].is_null(), "{seen}");
    }
    case.server.asked(&Requests::of(Verb::Watch, "secrets"), 1).await;
    assert_eq!(case.server.count(&Requests::of(Verb::Watch, "secrets")), 1);
    assert_eq!(case.server.count(&Requests::of(Verb::Get, "secrets")), 0);
    assert!(case.server.connections() <= 2, "{} connections", case.server.connections());
}

#[tokio::test]
async fn a_watch_ends_when_the_last_who_needed_it_is_gone_and_begins_again_for_the_next() {
    let case = Case::new(Deadlines { watch_seconds: (1, 1), silence: Duration::from_secs(5), ..SHORT }).await;
    let mut watches = case.server.watch_changes();
    let (one, two) = (secret("one"), secret("two"));
    for key in [&one, &two] {
        case.stores.want([key]);
        case.stores.look(&case.cluster, key).await;
    }
    watches.wait_for(|open| *open == 1).await.unwrap();
    case.stores.unwant(&one);
    let opened = case.server.count(&Requests::of(Verb::Watch, "secrets"));
    case.server.asked(&Requests::of(Verb::Watch, "secrets"), opened + 1).await;
    case.stores.unwant(&two);
    watches.wait_for(|open| *open == 0).await.unwrap();
    while case.stores.progress(&case.stores.scope(&two)).is_some() {
        tokio::task::yield_now().await;
    }
    let listed = case.server.count(&Requests::of(Verb::List, "secrets"));
    case.stores.want([&one]);
    case.stores.look(&case.cluster, &one).await;
    assert_eq!(case.server.count(&Requests::of(Verb::List, "secrets")), listed + 1);
}

#[tokio::test]
async fn whoever_is_asked_to_wait_waits_with_every_request() {
    let case = Case::new(Deadlines::default()).await;
    case.server.trouble(Requests::all(), Fault::RefuseFor(429, 1), Times::Next(1));
    let begun = Instant::now();
    assert!(matches!(case.cluster.get(&secret("one")).await, Err(ApiError::Failed(_))));
    case.stores.start(&case.cluster, &scope());
    let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "credentials"}});
    case.cluster.create(&secret("one"), &object).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1), "the write came after {:?}", begun.elapsed());
    case.server.asked(&Requests::of(Verb::List, "canaries"), 1).await;
    assert!(begun.elapsed() >= Duration::from_secs(1), "the list came after {:?}", begun.elapsed());
}
