//! The adapter beside an API server over real sockets: what it writes, what it leaves alone, and what it tells.

use burgee_apiserver::{ApiServer, Fault, Requests, Times, Verb};

use super::*;

const SPLIT: &str = "/apis/split.smi-spec.io/v1alpha2/namespaces/test/trafficsplits/podinfo";
const ROUTE: &str = "/apis/networking.istio.io/v1beta1/namespaces/test/virtualservices/podinfo-vs";
/// Nothing here takes that long.
const PATIENCE: Duration = Duration::from_secs(20);

fn split(weights: [Value; 2]) -> Value {
    let [primary, canary] = weights;
    json!({"apiVersion": "split.smi-spec.io/v1alpha2", "kind": "TrafficSplit",
        "metadata": {"name": "podinfo", "namespace": "test", "generation": 1},
        "spec": {"service": "podinfo", "backends": [
            {"service": "podinfo-canary", "weight": canary}, {"service": "podinfo-primary", "weight": primary}]}})
}

struct Case {
    server: ApiServer,
    work: tokio::task::JoinHandle<()>,
}

impl Drop for Case {
    fn drop(&mut self) {
        self.work.abort();
    }
}

impl Case {
    async fn new(objects: &[Value]) -> Self {
        let server = ApiServer::start().await.unwrap();
        for object in objects {
            server.put(object.clone());
        }
        Self::beside(server)
    }

    fn beside(server: ApiServer) -> Self {
        let client = connect(kube::Config::new(server.url().parse().unwrap())).unwrap();
        let cluster = Cluster::new(client.clone(), client);
        let work = tokio::spawn(Adapter::new(cluster, Kind::TRAFFIC_SPLITS[2], None).work());
        Self { server, work }
    }

    /// Waits until so many requests of a kind have been answered.
    async fn asked(&self, verb: Verb, plural: &str, times: usize) {
        let requests = Requests::of(verb, plural);
        let asked = self.server.asked(&requests, times);
        assert!(tokio::time::timeout(PATIENCE, asked).await.is_ok(), "{times} times {verb:?} {plural}");
    }

    /// The shares of the primary and the canary in the routes.
    fn shares(&self) -> [Value; 2] {
        let route = self.server.object(ROUTE).unwrap();
        [1, 0].map(|place| route["spec"]["http"][0]["route"][place]["weight"].clone())
    }

    /// What was told, in order.
    fn told(&self) -> Vec<String> {
        let events = self.server.seen().into_iter().filter(|seen| seen.plural() == Some("events"));
        let texts = events
            .map(|seen| format!("{} {}", seen.body["type"].as_str().unwrap(), seen.body["message"].as_str().unwrap()));
        texts.collect()
    }
}

#[tokio::test]
async fn routes_follow_a_traffic_split_and_are_put_back() {
    let case = Case::new(&[split([json!(100), json!(0)])]).await;
    case.asked(Verb::Create, "events", 1).await;
    assert_eq!(case.shares(), [json!(100), json!(0)]);
    let owner = &case.server.object(ROUTE).unwrap()["metadata"]["ownerReferences"][0];
    assert_eq!(owner["uid"], case.server.object(SPLIT).unwrap()["metadata"]["uid"]);

    let mut moved = case.server.object(SPLIT).unwrap();
    moved["spec"] = split([json!(90), json!(10)])["spec"].clone();
    case.server.put(moved);
    case.asked(Verb::Create, "events", 2).await;
    assert_eq!(case.shares(), [json!(90), json!(10)]);

    let mut edited = case.server.object(ROUTE).unwrap();
    edited["spec"]["http"] = json!([]);
    case.server.put(edited);
    case.asked(Verb::Create, "events", 3).await;
    assert_eq!(case.shares(), [json!(90), json!(10)]);

    case.server.remove(ROUTE);
    case.asked(Verb::Create, "events", 4).await;
    assert_eq!(case.shares(), [json!(90), json!(10)]);
    let text = |what: &str, primary: u8, canary: u8| {
        let shares = format!("{canary} % to podinfo-canary, {primary} % to podinfo-primary");
        format!("Normal VirtualService podinfo-vs.test {what}: {shares}")
    };
    let expected = [text("created", 100, 0), text("updated", 90, 10), text("updated", 90, 10), text("created", 90, 10)];
    assert_eq!(case.told(), expected);
}

#[tokio::test]
async fn somebody_elses_routes_stay_and_that_is_said_once() {
    let theirs = json!({"apiVersion": "networking.istio.io/v1beta1", "kind": "VirtualService",
        "metadata": {"name": "podinfo-vs", "namespace": "test", "labels": {"app.kubernetes.io/managed-by": "burgee-smi-adapter"}},
        "spec": {"hosts": ["theirs"]}});
    let case = Case::new(&[theirs, split([json!(90), json!(10)])]).await;
    case.asked(Verb::Create, "events", 1).await;
    let expected = "Warning VirtualService podinfo-vs.test is not this TrafficSplit's, it is left as it is";
    assert_eq!(case.told(), [expected]);
    assert_eq!(case.server.object(ROUTE).unwrap()["spec"], json!({"hosts": ["theirs"]}));
    // A label moves nothing, and the event about the same generation has the same name.
    let mut labelled = case.server.object(SPLIT).unwrap();
    labelled["metadata"]["labels"] = json!({"team": "red"});
    case.server.put(labelled);
    case.asked(Verb::Create, "events", 2).await;
    let events = case.server.seen().into_iter().filter(|seen| seen.plural() == Some("events"));
    let names: std::collections::BTreeSet<String> = events.filter_map(|seen| seen.name().map(str::to_owned)).collect();
    assert_eq!(names.len(), 1, "{names:?}");
    assert_eq!(case.server.count(&Requests::of(Verb::Create, "virtualservices")), 0);
    assert_eq!(case.server.count(&Requests::of(Verb::Update, "virtualservices")), 0);
}

#[tokio::test]
async fn what_cannot_be_translated_leaves_the_routes_as_they_are() {
    let case = Case::new(&[split([json!(90), json!(10)])]).await;
    case.asked(Verb::Create, "events", 1).await;
    let mut odd = case.server.object(SPLIT).unwrap();
    odd["spec"]["backends"][0]["weight"] = json!(-5);
    case.server.put(odd);
    case.asked(Verb::Create, "events", 2).await;
    assert_eq!(case.told().last().unwrap(), "Warning spec.backends[0].weight is no weight");
    assert_eq!(case.shares(), [json!(90), json!(10)]);
}

#[tokio::test]
async fn a_traffic_split_of_a_megabyte_of_maps_is_not_read_and_holds_up_no_other() {
    let mut large = split([json!(100), json!(0)]);
    large["metadata"]["name"] = json!("large");
    large["spec"]["matches"] = json!(vec![json!({"name": "a"}); 30_000]);
    let case = Case::new(&[large, split([json!(100), json!(0)])]).await;
    case.asked(Verb::Create, "events", 2).await;
    assert_eq!(case.shares(), [json!(100), json!(0)]);
    let refused = "Warning it has more than the 20000 values that are read".to_owned();
    assert!(case.told().contains(&refused), "{:?}", case.told());
}

#[tokio::test]
async fn a_conflict_and_a_server_that_fails_are_followed_by_a_fresh_look() {
    let server = ApiServer::start().await.unwrap();
    server.put(split([json!(100), json!(0)]));
    server.trouble(Requests::of(Verb::Create, "virtualservices"), Fault::Refuse(500), Times::Next(1));
    let case = Case::beside(server);
    case.asked(Verb::Create, "events", 1).await;
    case.server.trouble(Requests::of(Verb::Update, "virtualservices"), Fault::Refuse(409), Times::Next(1));
    let mut moved = case.server.object(SPLIT).unwrap();
    moved["spec"] = split([json!(50), json!(50)])["spec"].clone();
    case.server.put(moved);
    case.asked(Verb::Create, "events", 2).await;
    assert_eq!(case.shares(), [json!(50), json!(50)]);
    assert_eq!(case.server.count(&Requests::of(Verb::Update, "virtualservices")), 2);
}

#[tokio::test]
async fn what_the_api_server_refuses_is_told() {
    let server = ApiServer::start().await.unwrap();
    server.put(split([json!(100), json!(0)]));
    server.trouble(Requests::of(Verb::Create, "virtualservices"), Fault::Refuse(422), Times::Always);
    let case = Case::beside(server);
    case.asked(Verb::Create, "events", 1).await;
    let told = case.told().remove(0);
    assert!(told.starts_with("Warning VirtualService podinfo-vs.test could not be written: "), "{told}");
    assert!(case.server.object(ROUTE).is_none());
}

#[test]
fn the_newest_version_that_is_served_and_known_is_taken() {
    let check = |versions: &[&str], expected: Option<&str>| {
        let versions: Vec<Value> = versions.iter().map(|version| json!({"version": version})).collect();
        let kind = newest(&json!({"kind": "APIGroup", "versions": versions}));
        assert_eq!(kind.map(|kind| kind.names().1), expected, "{versions:?}");
    };
    check(&["v1alpha1", "v1alpha2"], Some("v1alpha2"));
    check(&["v1alpha4", "v1alpha1"], Some("v1alpha4"));
    check(&["v2"], None);
    check(&[], None);
    assert_eq!(newest(&json!([])), None);
}
