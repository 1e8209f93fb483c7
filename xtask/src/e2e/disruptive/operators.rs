//! The operator's own pods: which there are, which one leads, what they logged, and how one is killed. It knows no
//! canary.
use super::super::stage::Stage;
use anyhow::{Context, Result, ensure};
use burgee_lab::{Identity, Lab};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Namespace of the operator.
const NAMESPACE: &str = "istio-system";
/// Its container.
const CONTAINER: &str = "flagger";

/// One pod of the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pod {
    /// Its name.
    pub name: String,
    /// Its uid, which is its identity as a leader.
    pub uid: String,
    /// Its address; the same as long as it lives.
    pub address: String,
}

/// The operator as it runs on the lab.
pub(super) struct Operators<'a> {
    /// The lab that runs it.
    pub lab: &'a Lab,
}

impl<'a> Operators<'a> {
    /// The operator of a test's lab.
    ///
    /// # Errors
    /// When the test runs on a cluster that existed before.
    pub(super) fn of(stage: &'a Stage<'_>) -> Result<Self> {
        let lab = stage.lab()?;
        Ok(Self { lab })
    }

    /// Its pods that are not about to end.
    ///
    /// # Errors
    /// With kubectl's own message.
    pub(super) fn pods(&self) -> Result<Vec<Pod>> {
        let list = ["-n", NAMESPACE, "get", "pods", "-l", "app.kubernetes.io/name=flagger"];
        let list = self.lab.cluster().json(&list)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let staying = list["items"].as_array().into_iter().flatten();
        let staying = staying.filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        let read = |pod: &Value| Pod {
            name: text(&pod["metadata"]["name"]),
            uid: text(&pod["metadata"]["uid"]),
            address: text(&pod["status"]["podIP"]),
        };
        Ok(staying.map(read).collect())
    }

    /// The only pod.
    ///
    /// # Errors
    /// When there are more or none.
    pub(super) fn pod(&self) -> Result<Pod> {
        let pods = self.pods()?;
        ensure!(pods.len() == 1, "the operator has pods {pods:?}, not one");
        pods.into_iter().next().context("the operator has no pod")
    }

    /// The uid of the pod that leads, empty if none does.
    ///
    /// # Errors
    /// With kubectl's own message.
    pub(super) fn holder(&self) -> Result<String> {
        let lease = ["-n", NAMESPACE, "get", "lease", "flagger-leader-election"];
        let lease = self.lab.cluster().json(&lease)?;
        Ok(lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned())
    }

    /// The operator's process in a pod, at once when it has started.
    pub(super) fn process(&self, pod: &Pod) -> Option<Identity> {
        self.lab.pod_process(&pod.uid, CONTAINER)
    }

    /// Waits for a process of the pod other than `last`.
    ///
    /// # Errors
    /// When there is none in half a minute.
    pub(super) fn next_process(&self, pod: &Pod, last: Option<Identity>) -> Result<Identity> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(process) = self.process(pod).filter(|process| Some(*process) != last) {
                return Ok(process);
            }
            ensure!(Instant::now() < deadline, "the operator is not started again");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What a pod's containers have logged, those that the kubelet still keeps: one list of lines per container.
    ///
    /// # Errors
    /// When a log cannot be read.
    pub(super) fn logs(&self, pod: &Pod) -> Result<Vec<Vec<Value>>> {
        let logs = self.lab.container_logs(NAMESPACE, &pod.name, CONTAINER)?;
        let parse = |line: &String| serde_json::from_str(line).unwrap_or_else(|_| json!({"msg": line}));
        Ok(logs.iter().map(|lines| lines.iter().map(parse).collect()).collect())
    }

    /// Patches the operator's Deployment and waits until it is rolled out.
    ///
    /// # Errors
    /// With kubectl's own message.
    pub(super) fn reshape(&self, operations: &Value) -> Result<()> {
        let patch = operations.to_string();
        let deployment = ["-n", NAMESPACE, "patch", "deployment", "flagger", "--type=json", "-p", &patch];
        self.lab.kubectl(&deployment)?;
        let rollout = ["-n", NAMESPACE, "rollout", "status", "deployment/flagger", "--timeout=60s"];
        self.lab.kubectl(&rollout).map(drop)
    }
}

impl Pod {
    /// A page of the operator: status code and text.
    ///
    /// # Errors
    /// When the pod does not answer.
    pub(super) fn page(&self, path: &str) -> Result<(u16, String)> {
        let mut stream = TcpStream::connect((self.address.as_str(), 8080)).context("connect to the operator")?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).context("read from the operator")?;
        let request = format!("GET /{path} HTTP/1.1\r\nHost: operator\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).context("ask the operator")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).context("read from the operator")?;
        let (head, body) = answer.split_once("\r\n\r\n").context("the operator's answer has no end of its head")?;
        let code = head.split(' ').nth(1).context("the operator's answer has no status")?;
        Ok((code.parse().context("the operator's status is no number")?, body.to_owned()))
    }
}

/// Whether one of the lines begins with this message, and when it was logged.
pub(super) fn logged(lines: &[Value], message: &str) -> Option<Timestamp> {
    let line = lines.iter().find(|line| line["msg"].as_str().is_some_and(|text| text.starts_with(message)))?;
    line["ts"].as_str()?.parse().ok()
}
