//! The objects that the tests apply: podinfo, its autoscaler and its Canary, as a user would write them. It applies none.
use anyhow::{Context, Result};
use serde_json::{Value, json};

/// podinfo as a workload of a kind, with that kind's own fields. A failing probe takes ten in a row, so that a version that
/// fails at random stays ready.
macro_rules! workload {
    ($kind:literal, $fields:literal) => {
        concat!(
            "
apiVersion: apps/v1
kind: ",
            $kind,
            "
metadata:
  name: podinfo
  labels: {app: podinfo}
  annotations: {team: payments}
spec:
",
            $fields,
            "
  minReadySeconds: 1
  selector: {matchLabels: {app: podinfo}}
  template:
    metadata: {labels: {app: podinfo}}
    spec:
      containers:
      - name: podinfod
        image: lab.local/podinfo:6.0.0
        imagePullPolicy: IfNotPresent
        command: [podinfo, --port=9898, --level=info]
        ports: [{containerPort: 9898, name: http}]
        readinessProbe: {httpGet: {path: /readyz, port: 9898}, periodSeconds: 1, failureThreshold: 10}
"
        )
    };
}

/// podinfo with two replicas.
pub(crate) const DEPLOYMENT: &str = workload!(
    "Deployment",
    "  replicas: 2
  progressDeadlineSeconds: 60
  strategy: {type: RollingUpdate, rollingUpdate: {maxUnavailable: 0}}"
);

/// podinfo on every node. A node's old pod stays until its new one is ready.
pub(crate) const DAEMON_SET: &str =
    workload!("DaemonSet", "  updateStrategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}");

/// A Service of the user's own in front of podinfo.
pub(crate) const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata:
  name: podinfo
  labels: {app: podinfo, team: payments}
  annotations: {team: payments}
spec:
  selector: {app: podinfo}
  ports: [{name: http, port: 9898, targetPort: 9898}]
";

/// A route of the user's own to that Service, without retries.
pub(crate) const ROUTE: &str = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: podinfo
  labels: {team: payments}
spec:
  hosts: [$host]
  gateways: [istio-system/public-gateway]
  http:
  - name: everything
    retries: {attempts: 0}
    route: [{destination: {host: podinfo, port: {number: 9898}}}]
";

/// The autoscaler of the Istio article.
pub(crate) const AUTOSCALER: &str = "
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: podinfo}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: podinfo}
  minReplicas: 2
  maxReplicas: 4
  metrics:
  - {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 99}}}
";

/// The Canary of the Istio article; only host, intervals and the address of its hooks are others.
pub(crate) const ARTICLE: &str = "
apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: podinfo}
spec:
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: podinfo}
  autoscalerRef: {apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, name: podinfo}
  progressDeadlineSeconds: 600
  service:
    gateways: [istio-system/public-gateway]
    hosts: [$host]
    port: 9898
    targetPort: 9898
    trafficPolicy: {tls: {mode: DISABLE}}
    retries: {attempts: 3, perTryTimeout: 1s, retryOn: 'gateway-error,connect-failure,refused-stream'}
  analysis:
    interval: 10s
    threshold: 3
    maxWeight: 50
    stepWeight: 10
    metrics:
    - {name: request-success-rate, interval: 10s, thresholdRange: {min: 99}}
    - {name: request-duration, interval: 10s, thresholdRange: {max: 500}}
    webhooks:
    - name: acceptance-test
      type: pre-rollout
      url: $hooks/acceptance-test
      timeout: 30s
      metadata: {type: bash, cmd: \"curl -sd 'test' http://podinfo-canary:9898/token | grep token\"}
    - name: load-test
      type: rollout
      url: $hooks/load-test
      timeout: 5s
      metadata: {cmd: 'hey -z 1m -q 10 -c 2 http://podinfo-canary.test:9898/'}
";

/// A Canary with two steps and no retries on its route.
pub(crate) const SHORT: &str = "
apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: podinfo}
spec:
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: podinfo}
  progressDeadlineSeconds: 60
  service:
    gateways: [istio-system/public-gateway]
    hosts: [$host]
    port: 9898
    retries: {attempts: 0}
  analysis:
    interval: 10s
    threshold: 2
    maxWeight: 40
    stepWeight: 20
    metrics:
    - {name: request-success-rate, interval: 10s, thresholdRange: {min: 99}}
    - {name: request-duration, interval: 10s, thresholdRange: {max: 500}}
";

/// Parses one object.
///
/// # Errors
/// When the text is no YAML.
pub(crate) fn parse(text: &str) -> Result<Value> {
    yaml_serde::from_str(text).context("parse an object of the tests")
}

/// Sets one field by its path, such as `/spec/analysis/threshold`; objects on the way are made.
pub(crate) fn set(object: &mut Value, path: &str, value: Value) {
    let mut at = object;
    for part in path.trim_start_matches('/').split('/') {
        at = match part.parse::<usize>() {
            Ok(index) if at.is_array() => &mut at[index],
            _ => &mut at[part],
        };
    }
    *at = value;
}

/// A merge patch that gives podinfo another version and more arguments: a new revision.
pub(crate) fn revision(version: &str, arguments: &[&str]) -> Value {
    let command: Vec<&str> = ["podinfo", "--port=9898", "--level=info"].iter().chain(arguments).copied().collect();
    let container = json!({"name": "podinfod", "image": format!("lab.local/podinfo:{version}"), "command": command});
    json!({"spec": {"template": {"spec": {"containers": [container]}}}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_object_of_the_tests_is_yaml_with_a_name() {
        for text in [DEPLOYMENT, DAEMON_SET, SERVICE, ROUTE, AUTOSCALER, ARTICLE, SHORT] {
            assert_eq!(parse(text).unwrap()["metadata"]["name"], "podinfo");
        }
    }

    #[test]
    fn a_field_is_set_by_its_path() {
        let mut object = json!({"a": [{"b": 1}]});
        set(&mut object, "/a/0/b", json!(2));
        set(&mut object, "/c/d", json!(3));
        assert_eq!(object, json!({"a": [{"b": 2}], "c": {"d": 3}}));
    }
}
