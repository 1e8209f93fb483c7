//! Clusters as Flagger 1.44 leaves them: one for each kind of canary and each moment at which it can be stopped (contract:
//! api §1.6 and §4, lifecycle §6.5, §7, §8, §9 and §13, routers §1, §2, §5 and §14). It plays nothing.

use std::collections::BTreeSet;

use burgee_api::Phase;
use burgee_core::phase::promoted_condition;
use burgee_core::world::{Kind, ObjectKey};
use serde_json::{Value, json};

use crate::moments::{Built, Course, Moment, REST, Traffic, Version};

/// The `flagger-id` that Flagger gave the primary: another one means that it was rolled.
const ID: &str = "3f0e4d1c-6a0b-4c57-9d0e-2b1f6f6a7c11";
/// Hashes that only Flagger can compute, of the promoted version and of the next one.
const HASHES: [&str; 2] = ["5f56684589", "7c9d5c8b4f"];
/// What session affinity gave visitors of the last run and of this one.
const COOKIES: [&str; 2] = ["canary=LpsIaLdoNZ", "canary=XbcGqeYRTw"];
/// Its uid is known beforehand: it is the first object of the cluster.
const CANARY_UID: &str = "uid-1";
/// Five seconds before the play begins; half of an interval.
const LAST_WRITE: &str = "2023-11-14T22:13:15Z";

/// A kind of canary.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kindred {
    pub(crate) name: &'static str,
    pub(crate) target: Kind,
    pub(crate) course: Course,
    /// Fields of the spec besides those that all have.
    spec: fn() -> Value,
    /// The target's autoscaler.
    scaler: Option<Kind>,
    routes: Routes,
}

/// Whose the apex Service and the routes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Routes {
    /// Flagger made them.
    Made,
    /// They were the user's, and Flagger adopted them.
    Adopted,
}

const PLAIN: Kindred = Kindred {
    name: "weights",
    target: Kind::Deployment,
    course: Course::Weights,
    spec: || json!({}),
    scaler: None,
    routes: Routes::Made,
};

/// Every kind. Those with pods mention a ConfigMap and a Secret, which are tracked.
pub(crate) const KINDS: [Kindred; 11] = [
    Kindred {
        name: "weights, HPA",
        spec: || scaled(Kind::HorizontalPodAutoscaler),
        scaler: Some(Kind::HorizontalPodAutoscaler),
        ..PLAIN
    },
    Kindred {
        name: "weights, ScaledObject",
        spec: || scaled(Kind::ScaledObject),
        scaler: Some(Kind::ScaledObject),
        ..PLAIN
    },
    Kindred { name: "weights, adopted Service and routes", routes: Routes::Adopted, ..PLAIN },
    Kindred {
        name: "session affinity",
        spec: || json!({"analysis": {"sessionAffinity": {"cookieName": "canary"}}}),
        ..PLAIN
    },
    Kindred { name: "DaemonSet", target: Kind::DaemonSet, ..PLAIN },
    Kindred { name: "Service", target: Kind::Service, ..PLAIN },
    Kindred {
        name: "Knative",
        target: Kind::KnativeService,
        spec: || json!({"provider": "knative", "service": null}),
        ..PLAIN
    },
    Kindred {
        name: "A/B testing",
        course: Course::AbTesting,
        spec: || checked(&json!({"match": [{"headers": {"x-canary": {"exact": "insider"}}}]})),
        ..PLAIN
    },
    Kindred { name: "blue/green", course: Course::BlueGreen, spec: || checked(&json!({})), ..PLAIN },
    Kindred {
        name: "blue/green, mirroring",
        course: Course::Mirrored,
        spec: || checked(&json!({"mirror": true})),
        ..PLAIN
    },
    Kindred {
        name: "kubernetes",
        course: Course::Kubernetes,
        spec: || {
            let mut spec = checked(&json!({}));
            spec["provider"] = json!("kubernetes");
            spec
        },
        ..PLAIN
    },
];

fn scaled(kind: Kind) -> Value {
    json!({"autoscalerRef": {"apiVersion": kind.api_version(), "kind": kind.name(), "name": "podinfo"}})
}

/// Three iterations instead of weights.
fn checked(analysis: &Value) -> Value {
    let mut spec = json!({"analysis": {"maxWeight": null, "stepWeight": null, "iterations": 3}});
    merge(&mut spec["analysis"], analysis);
    spec
}

impl Kindred {
    /// Whether the primary has pods that may fail to start.
    pub(crate) fn has_pods(&self) -> bool {
        matches!(self.target, Kind::Deployment | Kind::DaemonSet)
    }

    /// The cluster at a moment. With `revertOnDeletion` once it is being deleted, or if there is something to give back.
    pub(crate) fn left(&self, moment: &Moment) -> Vec<Value> {
        let is_routed = self.course != Course::Kubernetes && moment.built == Built::Whole;
        let objects = if self.target == Kind::KnativeService {
            return [vec![self.canary(moment)], knative(moment)].concat();
        } else if self.target == Kind::Service {
            service_target(moment)
        } else {
            self.pods(moment)
        };
        let routes = if is_routed { self.routes(moment) } else { Vec::new() };
        [vec![self.canary(moment)], objects, routes].concat()
    }

    /// What is there when the canary is gone: the user's own, and what Flagger has left without an owner.
    pub(crate) fn users(&self) -> BTreeSet<String> {
        let named = |kind: Kind| format!("{} podinfo", kind.name());
        let mut users: BTreeSet<String> = self.scaler.into_iter().chain([self.target]).map(named).collect();
        if self.has_pods() {
            users.extend(["ConfigMap podinfo-config", "Secret podinfo-token"].map(str::to_owned));
        }
        if self.routes == Routes::Adopted {
            users.extend([Kind::Service, Kind::VIRTUAL_SERVICE].map(named));
        }
        if self.target == Kind::Service {
            // It was promoted once.
            users.insert("Service podinfo-primary".to_owned());
        }
        users
    }

    fn has_cookies(&self) -> bool {
        (self.spec)()["analysis"]["sessionAffinity"].is_object()
    }

    fn canary(&self, moment: &Moment) -> Value {
        let hook = |name: &str, kind: &str| json!({"name": name, "type": kind, "url": "http://tester.test/"});
        let mut canary = named(Kind::Canary, "podinfo");
        canary["metadata"]["creationTimestamp"] = json!("2023-11-01T10:00:00Z");
        canary["spec"] = json!({
            "targetRef": {"apiVersion": self.target.api_version(), "kind": self.target.name(), "name": "podinfo"},
            "progressDeadlineSeconds": 60,
            "service": {"port": 80},
            "analysis": {
                "interval": "10s", "threshold": 3, "stepWeight": 20, "maxWeight": 40,
                "metrics": [{"name": "request-success-rate", "thresholdRange": {"min": 99}, "interval": "1m"}],
                "webhooks": [hook("start", "confirm-rollout"), hook("acceptance", "pre-rollout"), hook("promote", "confirm-promotion")],
            },
        });
        merge(&mut canary["spec"], &(self.spec)());
        if moment.phase == Phase::Terminating || self.routes == Routes::Adopted {
            canary["spec"]["revertOnDeletion"] = json!(true);
            canary["metadata"]["finalizers"] = json!(["finalizer.flagger.app"]);
        }
        if moment.phase == Phase::Terminating {
            canary["metadata"]["deletionTimestamp"] = json!(LAST_WRITE);
        }
        canary["status"] = self.status(moment);
        canary
    }

    fn status(&self, moment: &Moment) -> Value {
        let Moment { phase, counters: (weight, iterations, failed), .. } = *moment;
        let (condition, message) = promoted_condition(phase, self.target.name());
        let mut status = json!({
            "phase": phase.as_str(), "canaryWeight": weight, "iterations": iterations, "failedChecks": failed,
            "lastTransitionTime": LAST_WRITE,
            "conditions": [{"type": "Promoted", "status": condition, "reason": phase.as_str(), "message": message,
                "lastUpdateTime": LAST_WRITE, "lastTransitionTime": LAST_WRITE}],
        });
        if moment.phase == Phase::Initializing {
            return status;
        }
        let promoted = if phase == Phase::Succeeded { moment.primary } else { Version::Old };
        let applied = if phase == Phase::Waiting { promoted } else { moment.target };
        status["lastPromotedSpec"] = json!(HASHES[promoted as usize]);
        status["lastAppliedSpec"] = json!(HASHES[applied as usize]);
        if self.has_pods() {
            // The checksums of what stands in `configs`.
            status["trackedConfigs"] =
                json!({"configmap/podinfo-config": "241889ca0604e333", "secret/podinfo-token": "aaf896a2b65ef31f"});
        }
        if self.has_cookies() && phase != Phase::Initialized {
            status["previousSessionAffinityCookie"] = json!(COOKIES[0]);
            // Flagger makes one although no name is given for it.
            status["primarySessionAffinityCookie"] = json!("=VnQbRpLmAw");
            if moment.traffic.weight() > 0 {
                status["sessionAffinityCookie"] = json!(COOKIES[1]);
            }
        }
        status
    }

    /// The target with its autoscaler and its configs, the primary with its own, and the Services.
    fn pods(&self, moment: &Moment) -> Vec<Value> {
        let mut objects = vec![self.target_workload(moment)];
        objects.extend(configs());
        objects.extend(self.scaler.map(|kind| scaler(kind, moment)));
        objects.extend(["canary", "primary"].map(|side| service(&format!("podinfo-{side}"), side)));
        if moment.built == Built::Services {
            return objects;
        }
        objects.extend(configs().map(|config| owned(copied(config))));
        objects.push(owned(self.workload("podinfo-primary", &template(moment.primary, "-primary"))));
        objects.extend(self.scaler.map(primary_scaler));
        objects.push(match self.routes {
            Routes::Made => service("podinfo", "primary"),
            Routes::Adopted => adopted_service(),
        });
        objects
    }

    fn target_workload(&self, moment: &Moment) -> Value {
        let mut target = self.workload("podinfo", &template(moment.target, ""));
        target["metadata"]["annotations"] = json!({"deployment.kubernetes.io/revision": "3"});
        if !moment.is_up && self.target == Kind::DaemonSet {
            target["spec"]["template"]["spec"]["nodeSelector"] = json!({"flagger.app/scale-to-zero": "true"});
        } else if !moment.is_up {
            target["spec"]["replicas"] = json!(0);
        }
        target
    }

    fn workload(&self, name: &str, template: &Value) -> Value {
        let mut workload = named(self.target, name);
        workload["metadata"]["labels"] = json!({"app": name});
        workload["spec"] = json!({"selector": {"matchLabels": {"app": name}}, "template": template});
        if self.target == Kind::Deployment {
            workload["spec"]["replicas"] = json!(2);
        }
        workload
    }

    fn routes(&self, moment: &Moment) -> Vec<Value> {
        let rule = |name: &str| {
            let mut rule = owned(named(Kind::DESTINATION_RULE, name));
            rule["spec"] = json!({"host": name});
            rule
        };
        let mut routes = named(Kind::VIRTUAL_SERVICE, "podinfo");
        routes["metadata"]["annotations"] = toolkit();
        routes["spec"] = json!({"gateways": ["mesh"], "hosts": ["podinfo"], "http": self.http(moment)});
        let routes = match self.routes {
            Routes::Made => owned(routes),
            Routes::Adopted => {
                routes["metadata"]["annotations"][LAST_APPLIED] = json!(json!({"spec": user_routes()}).to_string());
                routes
            }
        };
        vec![rule("podinfo-canary"), rule("podinfo-primary"), routes]
    }

    fn http(&self, moment: &Moment) -> Value {
        let weight = moment.traffic.weight();
        let mut entry = json!({"route": both(weight)});
        if moment.traffic == Traffic::Copied {
            entry["mirror"] = json!({"host": "podinfo-canary"});
        }
        if self.course == Course::AbTesting {
            entry["match"] = json!([{"headers": {"x-canary": {"exact": "insider"}}}]);
            return json!([entry, {"route": [destination("podinfo-primary", 100 - weight)]}]);
        }
        if !self.has_cookies() || moment.phase == Phase::Initialized {
            return json!([entry]);
        }
        let with_cookie = |cookie: &str| {
            let (name, value) = cookie.split_once('=').unwrap_or_default();
            json!([{"headers": {"Cookie": {"regex": format!(".*{name}.*{value}.*")}}}])
        };
        if weight > 0 {
            entry["route"][1]["headers"] =
                json!({"response": {"add": {"Set-Cookie": format!("{}; Max-Age=86400", COOKIES[1])}}});
            return json!([{"match": with_cookie(COOKIES[1]), "route": both(100)}, entry]);
        }
        let expiry = json!({"response": {"add": {"Set-Cookie": format!("{}; Max-Age=-1", COOKIES[0])}}});
        json!([{"match": with_cookie(COOKIES[0]), "route": both(0), "headers": expiry}, entry])
    }
}

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

fn merge(into: &mut Value, from: &Value) {
    for (field, value) in from.as_object().into_iter().flatten() {
        if value.is_object() && into[field].is_object() {
            merge(&mut into[field], value);
        } else if value.is_null() {
            if let Some(fields) = into.as_object_mut() {
                fields.remove(field);
            }
        } else {
            into[field] = value.clone();
        }
    }
}

fn named(kind: Kind, name: &str) -> Value {
    let ObjectKey { namespace, name, .. } = ObjectKey::new(kind, "test", name);
    json!({"apiVersion": kind.api_version(), "kind": kind.name(), "metadata": {"name": name, "namespace": namespace}})
}

fn owned(mut object: Value) -> Value {
    object["metadata"]["ownerReferences"] = json!([{"apiVersion": "flagger.app/v1beta1", "kind": "Canary", "name": "podinfo",
        "uid": CANARY_UID, "controller": true, "blockOwnerDeletion": true}]);
    object
}

fn toolkit() -> Value {
    json!({"kustomize.toolkit.fluxcd.io/reconcile": "disabled", "helm.toolkit.fluxcd.io/driftDetection": "disabled"})
}

fn image(version: Version) -> &'static str {
    match version {
        Version::Old => "podinfo:6.0.0",
        Version::New => "podinfo:6.0.1",
    }
}

/// A pod template. The primary's mentions the copies of the configs.
fn template(version: Version, suffix: &str) -> Value {
    let mut template = json!({
        "metadata": {"labels": {"app": format!("podinfo{suffix}")}},
        "spec": {"containers": [{
            "name": "podinfod",
            "image": image(version),
            "ports": [{"containerPort": 80, "name": "http"}],
            "envFrom": [
                {"configMapRef": {"name": format!("podinfo-config{suffix}")}},
                {"secretRef": {"name": format!("podinfo-token{suffix}")}},
            ],
        }]},
    });
    if !suffix.is_empty() {
        template["metadata"]["annotations"] = json!({"flagger-id": ID});
    }
    template
}

fn configs() -> [Value; 2] {
    let mut config = named(Kind::ConfigMap, "podinfo-config");
    config["data"] = json!({"color": "red"});
    let mut secret = named(Kind::Secret, "podinfo-token");
    secret["type"] = json!("Opaque");
    secret["data"] = json!({"apiKey": "dGVzdA==", "x": null, "y": ""});
    [config, secret]
}

fn copied(mut config: Value) -> Value {
    let name = config["metadata"]["name"].as_str().unwrap_or_default();
    config["metadata"]["name"] = json!(format!("{name}-primary"));
    config
}

fn service(name: &str, side: &str) -> Value {
    let mut service = owned(named(Kind::Service, name));
    service["metadata"]["labels"] = json!({"app": name});
    service["metadata"]["annotations"] = toolkit();
    let selected = if side == "canary" { "podinfo" } else { "podinfo-primary" };
    service["spec"] = json!({"type": "ClusterIP", "clusterIP": "10.0.0.1", "selector": {"app": selected},
        "ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 80}]});
    service
}

/// The user's own routes before Flagger adopted them.
pub(crate) fn user_routes() -> Value {
    json!({"hosts": ["podinfo"], "http": [{"route": [{"destination": {"host": "podinfo"}}]}]})
}

/// The user's own Service, which Flagger has led to the primary.
fn adopted_service() -> Value {
    let mut adopted = service("podinfo", "primary");
    adopted["metadata"]["ownerReferences"] = Value::Null;
    let before = json!({"spec": {"selector": {"app": "podinfo"}}});
    adopted["metadata"]["annotations"][LAST_APPLIED] = json!(before.to_string());
    adopted
}

fn scaler(kind: Kind, moment: &Moment) -> Value {
    let mut scaler = named(kind, "podinfo");
    if kind == Kind::HorizontalPodAutoscaler {
        scaler["spec"] = json!({"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo"},
            "minReplicas": 2, "maxReplicas": 6});
        return scaler;
    }
    scaler["spec"] = json!({"scaleTargetRef": {"name": "podinfo"}, "minReplicaCount": 2, "maxReplicaCount": 6,
        "triggers": [{"type": "prometheus", "name": "load", "metadata": {"query": "sum(rate(requests{app=\"podinfo\"}[1m]))"}}]});
    if !moment.is_up {
        scaler["metadata"]["annotations"] = json!({"autoscaling.keda.sh/paused-replicas": "0"});
    }
    scaler
}

fn primary_scaler(kind: Kind) -> Value {
    let mut primary = owned(scaler(kind, &Moment { is_up: true, ..REST }));
    primary["metadata"]["name"] = json!("podinfo-primary");
    primary["spec"]["scaleTargetRef"]["name"] = json!("podinfo-primary");
    if kind == Kind::ScaledObject {
        primary["spec"]["advanced"] = json!({"horizontalPodAutoscalerConfig": {}});
        primary["spec"]["triggers"][0]["metadata"]["query"] = json!("sum(rate(requests{app=\"podinfo-primary\"}[1m]))");
    }
    primary
}

/// A Service as target: its copies have its metadata. Once a promotion has been, the primary has no owner any more.
fn service_target(moment: &Moment) -> Vec<Value> {
    let leading = |name: &str, version: Version| {
        let mut service = named(Kind::Service, name);
        service["metadata"]["labels"] = json!({"team": "blue"});
        let host = if version == Version::Old { "one.example.com" } else { "two.example.com" };
        service["spec"] = json!({"type": "ExternalName", "externalName": host});
        service
    };
    let mut objects = vec![leading("podinfo", moment.target), owned(leading("podinfo-canary", moment.target))];
    if moment.built != Built::Services {
        let primary = leading("podinfo-primary", moment.primary);
        let is_promoted = !matches!(moment.phase, Phase::Initializing | Phase::Initialized);
        objects.push(if is_promoted { primary } else { owned(primary) });
    }
    objects
}

/// A Knative Service with a revision for each version that there has been.
fn knative(moment: &Moment) -> Vec<Value> {
    let spec = |version: Version| json!({"containers": [{"name": "app", "image": image(version)}]});
    let revision = |version: Version| {
        let mut revision = named(Kind::KnativeRevision, revision_name(version));
        revision["metadata"]["labels"] = json!({"serving.knative.dev/service": "podinfo"});
        revision["spec"] = spec(version);
        revision
    };
    let mut service = named(Kind::KnativeService, "podinfo");
    service["spec"] = json!({"template": {"metadata": {}, "spec": spec(moment.target)}});
    if moment.built != Built::Services {
        service["metadata"]["annotations"] = json!({"flagger.app/primary-revision": revision_name(moment.primary)});
        // The traffic follows the annotation later.
        let pinned = if moment.phase == Phase::Promoting { Version::Old } else { moment.primary };
        let weight = moment.traffic.weight();
        service["spec"]["traffic"] = json!([{"latestRevision": true, "percent": weight},
            {"revisionName": revision_name(pinned), "percent": 100 - weight}]);
    }
    let newer = (moment.target == Version::New).then(|| revision(Version::New));
    [service, revision(Version::Old)].into_iter().chain(newer).collect()
}

fn revision_name(version: Version) -> &'static str {
    match version {
        Version::Old => "podinfo-00001",
        Version::New => "podinfo-00002",
    }
}

fn destination(host: &str, weight: u8) -> Value {
    json!({"destination": {"host": host}, "weight": weight})
}

fn both(weight: u8) -> Value {
    json!([destination("podinfo-primary", 100 - weight), destination("podinfo-canary", weight)])
}
