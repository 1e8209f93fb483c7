//! A cluster as a person sees it through a kubeconfig: plain reads with that person's own permissions, no watches, and one
//! write, the order to a canary. It decides nothing and obeys nothing.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use burgee_api::Canary;
use burgee_core::claims::Claim;
use burgee_core::dependencies;
use burgee_core::order::Order;
use burgee_core::rollout::Rollout;
use burgee_core::settings::Settings;
use burgee_core::world::{ConfigSeen, Kind, ObjectKey, Observed, World};
use http::Method;
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};

use crate::args::{self, Request};
use crate::brake;
use crate::cluster::{ApiError, Cluster, Resource, connect, escape, path};
use crate::configs::Configs;
use crate::stores::Look;

/// What kubectl would be given to find the cluster.
#[derive(Clone, Debug, Default)]
pub struct Address {
    /// `--kubeconfig`; none is what kubectl takes, or the pod's own account in a cluster.
    pub kubeconfig: Option<String>,
    /// `--context`.
    pub context: Option<String>,
    /// `--namespace`; none is the context's.
    pub namespace: Option<String>,
}

/// A connection with a namespace.
pub struct Visit {
    cluster: Cluster,
    namespace: String,
}

impl Visit {
    /// Connects as kubectl does.
    ///
    /// # Errors
    /// When the kubeconfig or the context in it cannot be used.
    pub async fn begin(address: &Address) -> Result<Self> {
        let options = KubeConfigOptions { context: address.context.clone(), ..KubeConfigOptions::default() };
        let config = match (&address.kubeconfig, &address.context) {
            (Some(path), _) => {
                let kubeconfig = Kubeconfig::read_from(Path::new(path)).with_context(|| format!("read {path}"))?;
                Config::from_custom_kubeconfig(kubeconfig, &options).await?
            }
            (None, Some(_)) => Config::from_kubeconfig(&options).await?,
            (None, None) => Config::infer().await?,
        };
        let namespace = address.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = connect(config).context("Kubernetes client")?;
        Ok(Self { cluster: Cluster::new(client.clone(), client), namespace })
    }

    /// The key of a canary in the namespace of the visit.
    pub fn key(&self, canary: &str) -> ObjectKey {
        ObjectKey::new(Kind::Canary, &self.namespace, canary)
    }

    /// A canary as it is stored.
    ///
    /// # Errors
    /// When there is none, or it may not be read.
    pub async fn canary(&self, key: &ObjectKey) -> Result<Canary> {
        let object = self.cluster.get(key).await.map_err(|error| explain("get", key, &error))?;
        let object =
            object.ok_or_else(|| anyhow!("canaries.flagger.app {:?} not found in {}", key.name, key.namespace))?;
        Canary::read_value(&object).with_context(|| format!("{key} cannot be understood"))
    }

    /// Who the API server takes the visitor for; none where it does not say.
    pub async fn user(&self) -> Option<String> {
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
        let reviewed =
            self.cluster.raw(Method::POST, "/apis/authentication.k8s.io/v1/selfsubjectreviews", Some(&review));
        let name = reviewed.await.ok()?["status"]["userInfo"]["username"].as_str()?.to_owned();
        (!name.is_empty()).then_some(name)
    }

    /// Gives an order to a canary: an edit like any other, for which the visitor needs `patch` on canaries.
    ///
    /// # Errors
    /// When there is no such canary, or it may not be patched.
    pub async fn order(&self, key: &ObjectKey, order: &Order) -> Result<()> {
        let path = path(key).map_err(|error| explain("patch", key, &error))?;
        let patched = self.cluster.raw(Method::PATCH, &path, Some(&order.patch())).await;
        patched.map(drop).map_err(|error| explain("patch", key, &error))
    }

    /// The events of a canary, oldest first.
    ///
    /// # Errors
    /// When they may not be listed.
    pub async fn events(&self, key: &ObjectKey) -> Result<Vec<Value>> {
        let collection = Resource::EVENTS.collection(Some(&key.namespace));
        let path = format!(
            "{collection}?fieldSelector=involvedObject.kind%3DCanary%2CinvolvedObject.name%3D{}&limit=500",
            escape(&key.name)
        );
        let mut list = match self.cluster.raw(Method::GET, &path, None).await {
            Ok(list) => list,
            Err(error) => bail!("events in {} cannot be listed: {error}", key.namespace),
        };
        let Value::Array(mut events) = list["items"].take() else { return Ok(Vec::new()) };
        // Times are whole seconds; names go on within one of them.
        events.sort_by_key(|event| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            (text(&event["lastTimestamp"]), text(&event["metadata"]["name"]))
        });
        Ok(events)
    }

    /// Everything that a tick of the canary would look at. What may not be read is unknown, and says so.
    pub async fn world(&self, canary: Canary, rollout: &Rollout, settings: &Settings) -> World {
        let mut world = World::new(canary);
        for key in dependencies::objects(rollout) {
            let observed = self.look(&key).await;
            world.insert(key, observed);
        }
        for key in dependencies::more(rollout, &world.canary, &world) {
            let observed = self.look(&key).await;
            world.insert(key, observed);
        }
        let configs = Configs::default();
        let target = world.present(&rollout.target_key()).cloned();
        for reference in dependencies::configs(rollout, settings, target.as_ref()) {
            let (seen, _) = configs.look(&self.cluster, &reference.key, Look::Ask).await;
            world.configs.push((reference.key, seen));
        }
        world.rival = self.rival(&world.canary, settings).await;
        world
    }

    async fn look(&self, key: &ObjectKey) -> Observed {
        match self.cluster.get(key).await {
            Ok(Some(object)) => Observed::Present(object.into()),
            Ok(None) => Observed::Absent,
            Err(error) => Observed::Unknown(explain("get", key, &error).to_string()),
        }
    }

    async fn rival(&self, canary: &Canary, settings: &Settings) -> Option<burgee_core::world::Rival> {
        let collection = Resource::of(Kind::Canary).collection(canary.metadata.namespace.as_deref());
        let list = self.cluster.raw(Method::GET, &collection, None).await.ok()?;
        let claims: Vec<Claim> = list["items"].as_array()?.iter().map(Claim::of).collect();
        Claim::of(&serde_json::to_value(canary).ok()?).rival(claims.iter(), settings)
    }

    /// What the controller that runs as `namespace/deployment` was started with, the brake included.
    ///
    /// # Errors
    /// When there is no such Deployment, or its arguments are not a controller's.
    pub async fn settings(&self, deployment: &str) -> Result<Settings> {
        let (namespace, name) = deployment.split_once('/').context("it is written as NAMESPACE/DEPLOYMENT")?;
        let key = ObjectKey::new(Kind::Deployment, namespace, name);
        let object = self.cluster.get(&key).await.map_err(|error| explain("get", &key, &error))?;
        let object = object.ok_or_else(|| anyhow!("{key} not found"))?;
        let container = &object["spec"]["template"]["spec"]["containers"][0];
        match args::read(&arguments(container, namespace), &|name| variable(container, name)) {
            Request::Run(options) => {
                let mut settings = options.settings;
                settings.pause_new_runs |= self.is_braked(&options.lease_namespace).await;
                Ok(settings)
            }
            Request::Show(_) | Request::Refuse(_) => bail!("{key} does not run a controller"),
        }
    }

    async fn is_braked(&self, namespace: &str) -> bool {
        let key = ObjectKey::new(Kind::ConfigMap, namespace, brake::NAME);
        self.cluster.get(&key).await.ok().flatten().is_some_and(|config| brake::pauses(&config))
    }
}

/// What of a world could not be seen, in words.
pub fn unseen(world: &World) -> Vec<String> {
    let objects = world.objects.iter().filter_map(|(_, observed)| match observed {
        Observed::Unknown(reason) => Some(reason.clone()),
        Observed::Present(_) | Observed::Absent => None,
    });
    let configs = world.configs.iter().filter_map(|(_, seen)| match seen {
        ConfigSeen::Unknown(reason) => Some(reason.clone()),
        ConfigSeen::Present { .. } | ConfigSeen::Absent => None,
    });
    objects.chain(configs).collect()
}

/// The flags of a container: what follows the program, and the subcommand if there is one.
fn arguments(container: &Value, namespace: &str) -> Vec<String> {
    let texts = |field: &str| container[field].as_array().cloned().unwrap_or_default();
    let words = texts("command").into_iter().chain(texts("args"));
    let words = words.filter_map(|word| Some(word.as_str()?.replace("$(POD_NAMESPACE)", namespace)));
    words.skip_while(|word| !word.starts_with('-')).collect()
}

/// A variable of a container that is written out there; one from a Secret is none of a visitor's business.
fn variable(container: &Value, name: &str) -> Option<String> {
    let variables = container["env"].as_array()?;
    let found = variables.iter().find(|variable| variable["name"] == name)?;
    found["value"].as_str().map(str::to_owned)
}

/// What went wrong, and which permission is missing if that is it.
fn explain(verb: &str, key: &ObjectKey, error: &ApiError) -> anyhow::Error {
    let (group, _, _, plural) = key.kind.names();
    let resource = if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") };
    match error {
        ApiError::Forbidden(message) => {
            anyhow!("missing permission: {verb} {resource} in namespace {}: {message}", key.namespace)
        }
        ApiError::Missing(message)
        | ApiError::Conflict(message)
        | ApiError::Gone(message)
        | ApiError::Refused(message)
        | ApiError::Failed(message) => anyhow!("{key} {verb} error: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_of_a_controller_are_read_from_its_container() {
        let container = json!({
            "command": ["./flagger", "-leader-election-namespace=$(POD_NAMESPACE)"],
            "args": ["-mesh-provider=istio", "-drain-delay=1s"],
            "env": [{"name": "SLACK_URL", "valueFrom": {}}, {"name": "EVENT_WEBHOOK_URL", "value": "http://hook"}],
        });
        let flags = arguments(&container, "mesh");
        assert_eq!(flags, ["-leader-election-namespace=mesh", "-mesh-provider=istio", "-drain-delay=1s"]);
        assert_eq!(arguments(&json!({"command": ["burgee", "controller", "-port=1"]}), "mesh"), ["-port=1"]);
        assert_eq!(variable(&container, "EVENT_WEBHOOK_URL").as_deref(), Some("http://hook"));
        assert_eq!(variable(&container, "SLACK_URL"), None);
    }

    #[test]
    fn a_missing_permission_is_named() {
        let key = ObjectKey::new(Kind::VIRTUAL_SERVICE, "test", "podinfo");
        let error = explain("get", &key, &ApiError::Forbidden("no".to_owned())).to_string();
        let expected = "missing permission: get virtualservices.networking.istio.io in namespace test: no";
        assert_eq!(error, expected);
    }
}
