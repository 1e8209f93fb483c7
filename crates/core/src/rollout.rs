//! What a canary means: its spec parsed once, at the top, into values that need no second look.
//! Whatever cannot be meant is refused here, with a sentence for the user (S14).

use burgee_api::{
    Address, Alert, Analysis, AutoscalerRef, Canary, GoDuration, Metric, ObjectRef, RunStrategy, ServiceSpec,
    TargetRef, Webhook, WebhookType,
};
use jiff::SignedDuration;
use serde_json::Value;

use crate::key::ObjectKey;
use crate::kind::Kind;
use crate::limits;
use crate::metric::builtin::metrics_provider;
use crate::notice::Names;
use crate::object::plain;
use crate::router::row::Targets;
pub use crate::router::table::Provider;
use crate::settings::Settings;
use crate::split::Mirror;
pub use crate::target::TargetKind;

mod adapt;
mod claimed;
mod ladder;
mod names;
mod routes;
mod salvage;
mod verify;

pub use ladder::Ladder;

/// Analyses are never paced faster than this (contract: api §1.3).
const SHORTEST_INTERVAL: SignedDuration = SignedDuration::from_secs(10);

/// The version of a Service that is not the core one.
const KNATIVE: &str = "serving.knative.dev/v1";

/// How the canary is tried out (contract: lifecycle §9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Weights, step by step.
    Canary(Ladder),
    /// A number of checks, then all at once.
    BlueGreen(u32),
    /// A number of checks on matching requests.
    AbTesting(u32),
}

impl Strategy {
    /// What the status remembers of it.
    pub const fn kind(&self) -> RunStrategy {
        match self {
            Self::Canary(_) => RunStrategy::Canary,
            Self::BlueGreen(_) => RunStrategy::BlueGreen,
            Self::AbTesting(_) => RunStrategy::AbTesting,
        }
    }
}

/// What a canary means.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollout {
    /// Why the canary cannot be meant; then it is only what is left of one.
    pub refused: Option<String>,
    /// Name of the canary.
    pub name: String,
    /// Namespace of the canary and of everything it owns.
    pub namespace: String,
    /// Uid of the canary, for owner references.
    pub uid: String,
    /// The workload.
    pub target: TargetRef,
    /// Its kind.
    pub target_kind: TargetKind,
    /// The autoscaler, if any.
    pub scaler: Option<AutoscalerRef>,
    /// Name of the apex Service; `-primary` and `-canary` are appended for the others.
    pub apex: String,
    /// `spec.service`, as written.
    pub service: ServiceSpec,
    /// The same as JSON, without what says nothing.
    pub service_json: Value,
    /// Who splits the traffic.
    pub provider: Provider,
    /// What selects the builtin queries and stands in events (contract: metrics §1).
    pub metrics_provider: String,
    /// Name of the Ingress, or else of the target: what `{{ ingress }}` means in queries.
    pub ingress: String,
    /// Name of the route, or else of the target: what `{{ route }}` means in queries.
    pub route: String,
    /// How the canary is tried out.
    pub strategy: Strategy,
    /// Whether the canary gets copies of the traffic before, or instead of, its own.
    pub mirror: Mirror,
    /// What the provider cannot do and is done otherwise; said once in a run.
    pub warnings: Vec<String>,
    /// What is taken and may not be what was meant; shown while it stands.
    pub doubts: Vec<String>,
    /// `spec.analysis`, or nothing.
    pub analysis: Option<Analysis>,
    /// Pace of the analysis; at least 10 s.
    pub interval: SignedDuration,
    /// Failed checks that end the run; at least 1.
    pub threshold: u32,
    /// Address of the Prometheus for builtin and inline queries.
    pub metrics_server: Address,
    /// Promote without analysing.
    pub skip_analysis: bool,
    /// Do nothing at all.
    pub suspended: bool,
    /// Put the user's objects back when the canary is deleted.
    pub revert_on_deletion: bool,
    /// Seconds in which a workload must get ready.
    pub progress_deadline_seconds: i64,
    /// Percentage of the primary's pods that must be available.
    pub primary_ready_percent: i64,
    /// The same for the canary's.
    pub canary_ready_percent: i64,
}

impl Rollout {
    /// Parses a canary. The error is what is wrong with its spec, for the user.
    pub fn parse(canary: &Canary, settings: &Settings) -> Result<Self, String> {
        if let Some(reason) = &canary.unreadable {
            return Err(reason.clone());
        }
        let mut rollout = Self::read(canary, settings, Provider::parse(provider_name(canary, settings))?)?;
        rollout.verify(canary, settings)?;
        rollout.verify_routes()?;
        rollout.verify_values(canary)?;
        rollout.adapt(canary)?;
        rollout.verify_steps()?;
        rollout.doubts = rollout.doubtful_values();
        Ok(rollout)
    }

    /// What a spec says, whether or not it fits together.
    fn read(canary: &Canary, settings: &Settings, provider: Provider) -> Result<Self, String> {
        let spec = &canary.spec;
        let analysis = canary.analysis().cloned();
        let service = limits::service(canary, settings);
        let target_kind = target_kind(&spec.target_ref)?;
        Ok(Self {
            refused: None,
            name: canary.metadata.name.clone().unwrap_or_default(),
            namespace: canary.metadata.namespace.clone().unwrap_or_default(),
            uid: canary.metadata.uid.clone().unwrap_or_default(),
            target_kind,
            apex: service.name.clone().filter(|name| !name.is_empty()).unwrap_or_else(|| spec.target_ref.name.clone()),
            target: spec.target_ref.clone(),
            scaler: spec.autoscaler_ref.clone(),
            provider,
            metrics_provider: metrics_provider(&settings.mesh_provider, spec.provider.as_deref(), target_kind),
            ingress: referred(spec.ingress_ref.as_ref(), &spec.target_ref),
            route: referred(spec.route_ref.as_ref(), &spec.target_ref),
            strategy: strategy(analysis.as_ref()),
            mirror: mirror(analysis.as_ref()),
            warnings: Vec::new(),
            doubts: Vec::new(),
            interval: interval(analysis.as_ref()),
            threshold: analysis.as_ref().map_or(1, |analysis| at_least_one(analysis.threshold)),
            metrics_server: spec.metrics_server.clone().unwrap_or_else(|| settings.metrics_server.clone()),
            skip_analysis: spec.skip_analysis || analysis.is_none(),
            suspended: spec.suspend,
            revert_on_deletion: spec.revert_on_deletion,
            progress_deadline_seconds: spec.progress_deadline_seconds.unwrap_or(600),
            primary_ready_percent: analysis
                .as_ref()
                .and_then(|analysis| analysis.primary_ready_threshold)
                .unwrap_or(100),
            canary_ready_percent: analysis.as_ref().and_then(|analysis| analysis.canary_ready_threshold).unwrap_or(100),
            analysis,
            service_json: plain(&service),
            service,
        })
    }

    /// Steps of nothing would lead nowhere, and the run would have no end (I13).
    fn verify_steps(&self) -> Result<(), String> {
        let Strategy::Canary(ladder) = &self.strategy else { return Ok(()) };
        let has_steps = ladder.step > 0 || ladder.steps.iter().any(|weight| *weight > 0);
        if has_steps || self.skip_analysis || self.analysis.is_none() {
            return Ok(());
        }
        Err("the analysis has no step, set stepWeight, stepWeights or iterations to more than 0".to_owned())
    }

    /// The contract's controller-side checks (api §1.5), and S7.
    fn verify(&self, canary: &Canary, settings: &Settings) -> Result<(), String> {
        if canary.spec.service.is_none() && self.target_kind.has_services() {
            return Err("spec.service is missing, set at least spec.service.port".to_owned());
        }
        self.verify_target(canary, settings)?;
        self.verify_claims(canary, settings)?;
        if settings.no_cross_namespace_refs {
            self.verify_references()?;
        }
        let Some(analysis) = &self.analysis else { return Ok(()) };
        if canary.spec.canary_analysis.is_some() && canary.spec.analysis.is_some() {
            return Err("spec.analysis and spec.canaryAnalysis are both set, remove spec.canaryAnalysis".to_owned());
        }
        if let Some(affinity) = &analysis.session_affinity
            && affinity.primary_cookie_name.as_ref() == Some(&affinity.cookie_name)
        {
            return Err("can't use the same cookie name for both primary and cookie name; please update them to be \
                        different"
                .to_owned());
        }
        Ok(())
    }

    /// What a target can do (contract: api §1.5). The provider counts whether the canary names it or the flags do; in the
    /// peer the canary has to.
    fn verify_target(&self, canary: &Canary, settings: &Settings) -> Result<(), String> {
        let provider = provider_name(canary, settings);
        let TargetRef { api_version, kind, .. } = &self.target;
        let row = self.provider.row();
        match (self.target_kind, row.targets) {
            (TargetKind::Knative, Targets::Knative) if self.scaler.is_some() => {
                Err("can't use autoscaler with Knative Service".to_owned())
            }
            (TargetKind::Knative, Targets::Workloads) => {
                Err(format!("can't use {provider} provider with Knative Service as target"))
            }
            (TargetKind::Deployment | TargetKind::DaemonSet | TargetKind::Service, Targets::Knative) => {
                Err(format!("can't use {api_version}/{kind} as target if provider is set to {}", row.name))
            }
            (TargetKind::Service, Targets::Workloads) => self.verify_service_target(),
            (TargetKind::Knative, Targets::Knative)
            | (TargetKind::Deployment | TargetKind::DaemonSet, Targets::Workloads) => Ok(()),
        }
    }

    /// A Service target has no pods to scale, and its Services are named after it (contract: lifecycle §7.7): routes to
    /// another name would lead nowhere.
    fn verify_service_target(&self) -> Result<(), String> {
        if self.scaler.is_some() {
            return Err("can't use autoscaler with Service".to_owned());
        }
        if self.apex != self.target.name {
            return Err(format!(
                "can't use {} as service.name with Service {} as target, its primary and canary are named after it",
                self.apex, self.target.name
            ));
        }
        Ok(())
    }

    fn verify_references(&self) -> Result<(), String> {
        let foreign = |namespace: &Option<String>| {
            namespace.as_ref().is_some_and(|namespace| !namespace.is_empty() && *namespace != self.namespace)
        };
        for reference in self.metrics().iter().filter_map(|metric| metric.template_ref.as_ref()) {
            if foreign(&reference.namespace) {
                return Err(blocked("metric template", &reference.name, reference.namespace.as_deref()));
            }
        }
        for reference in self.alerts().iter().map(|alert| &alert.provider_ref) {
            if foreign(&reference.namespace) {
                return Err(blocked("alert provider", &reference.name, reference.namespace.as_deref()));
            }
        }
        Ok(())
    }

    /// Whom notices are about.
    pub fn names(&self) -> Names {
        Names {
            canary: self.name.clone(),
            namespace: self.namespace.clone(),
            target: self.target.name.clone(),
            target_kind: self.target.kind.clone(),
        }
    }

    /// Key of an object in the canary's namespace.
    pub fn key(&self, kind: Kind, name: &str) -> ObjectKey {
        ObjectKey::new(kind, &self.namespace, name)
    }

    /// Key of the target.
    pub fn target_key(&self) -> ObjectKey {
        self.key(self.target_kind.kind(), &self.target.name)
    }

    /// Name of the primary workload.
    pub fn primary_name(&self) -> String {
        format!("{}-primary", self.target.name)
    }

    /// Key of the primary workload. A Knative Service names its primary revision itself.
    pub fn primary_key(&self) -> ObjectKey {
        match self.target_kind {
            TargetKind::Deployment | TargetKind::DaemonSet | TargetKind::Service => {
                self.key(self.target_kind.kind(), &self.primary_name())
            }
            TargetKind::Knative => self.target_key(),
        }
    }

    /// Name of the Service in front of the primary.
    pub fn primary_service(&self) -> String {
        format!("{}-primary", self.apex)
    }

    /// Name of the Service in front of the canary.
    pub fn canary_service(&self) -> String {
        format!("{}-canary", self.apex)
    }

    /// The webhooks of one type, in the order in which they are written.
    pub fn webhooks(&self, wanted: WebhookType) -> Vec<&Webhook> {
        self.analysis.iter().flat_map(|analysis| &analysis.webhooks).filter(|webhook| webhook.kind == wanted).collect()
    }

    /// The metrics, in the order in which they are written.
    pub fn metrics(&self) -> &[Metric] {
        self.analysis.as_ref().map_or(&[], |analysis| &analysis.metrics)
    }

    /// The alerts, in the order in which they are written.
    pub fn alerts(&self) -> &[Alert] {
        self.analysis.as_ref().map_or(&[], |analysis| &analysis.alerts)
    }

    /// The owner reference that generated objects carry.
    pub fn owner_reference(&self) -> Value {
        serde_json::json!({
            "apiVersion": Kind::Canary.api_version(), "kind": "Canary", "name": self.name, "uid": self.uid,
            "controller": true, "blockOwnerDeletion": true,
        })
    }
}

fn referred(reference: Option<&ObjectRef>, target: &TargetRef) -> String {
    reference.map_or(&target.name, |reference| &reference.name).clone()
}

fn blocked(what: &str, name: &str, namespace: Option<&str>) -> String {
    format!("can't access {what} {name}.{}, cross-namespace references are blocked", namespace.unwrap_or_default())
}

fn target_kind(target: &TargetRef) -> Result<TargetKind, String> {
    match target.kind.as_str() {
        "Deployment" => Ok(TargetKind::Deployment),
        "DaemonSet" => Ok(TargetKind::DaemonSet),
        "Service" if target.api_version == KNATIVE => Ok(TargetKind::Knative),
        "Service" => Ok(TargetKind::Service),
        other => Err(format!("targetRef.kind {other} is not supported, use Deployment, DaemonSet or Service")),
    }
}

fn provider_name<'a>(canary: &'a Canary, settings: &'a Settings) -> &'a str {
    canary.spec.provider.as_deref().unwrap_or(&settings.mesh_provider)
}

fn strategy(analysis: Option<&Analysis>) -> Strategy {
    let Some(analysis) = analysis else { return Strategy::Canary(Ladder::of(None)) };
    let iterations = analysis.iterations.map_or(0, |iterations| u32::try_from(iterations).unwrap_or(0));
    if iterations > 0 {
        return if analysis.matches.is_empty() {
            Strategy::BlueGreen(iterations)
        } else {
            Strategy::AbTesting(iterations)
        };
    }
    Strategy::Canary(Ladder::of(Some(analysis)))
}

fn mirror(analysis: Option<&Analysis>) -> Mirror {
    if analysis.is_some_and(|analysis| analysis.mirror) { Mirror::On } else { Mirror::Off }
}

fn at_least_one(number: Option<i64>) -> u32 {
    u32::try_from(number.unwrap_or(0).max(1)).unwrap_or(u32::MAX)
}

/// Empty or unparsable: 60 s; shorter than 10 s: 10 s (contract: api §1.3).
fn interval(analysis: Option<&Analysis>) -> SignedDuration {
    let written = analysis.and_then(|analysis| analysis.interval.as_deref()).unwrap_or_default();
    let parsed = GoDuration::parse(written).ok().map(|duration| SignedDuration::from_nanos(duration.nanoseconds()));
    parsed.filter(SignedDuration::is_positive).unwrap_or(SignedDuration::from_secs(60)).max(SHORTEST_INTERVAL)
}
