//! The command line of the controller: Go-style flags and their environment overrides (contract: operations §1).
//! It parses; it starts nothing.

use std::collections::{BTreeMap, BTreeSet};

use burgee_api::Address;
use burgee_core::dns;
use burgee_core::settings::{Audience, Settings};

use crate::flags::{self, Trouble, Values, milliseconds};
use crate::http::Exceptions;

use self::table::FLAGS;

mod table;
#[cfg(test)]
mod tests;

/// What the controller's command line asks for.
pub type Request = flags::Request<Options>;

/// How logs look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Console,
}

/// Where alerts and events go when a canary does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notifier {
    /// `-slack-url`
    pub slack_url: Address,
    /// `-slack-token`
    pub slack_token: String,
    /// `-slack-proxy-url`
    pub slack_proxy_url: Address,
    /// `-slack-user`
    pub slack_user: String,
    /// `-slack-channel`
    pub slack_channel: String,
    /// `-msteams-url`; wins over Slack.
    pub msteams_url: Address,
    /// `-msteams-proxy-url`
    pub msteams_proxy_url: Address,
    /// `-event-webhook`
    pub event_webhook: Address,
}

/// Everything the controller can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// What decisions depend on.
    pub settings: Settings,
    /// Global alerts and event hook.
    pub notifier: Notifier,
    /// `-allow-addresses`: what objects may name although it would be refused.
    pub exceptions: Exceptions,
    /// `-kubeconfig`, empty in a cluster.
    pub kubeconfig: String,
    /// `-master`, empty unless the API server's address is overridden.
    pub master: String,
    /// `-kubeconfig-service-mesh`, empty unless mesh objects live in another cluster.
    pub mesh_kubeconfig: String,
    /// `-port` of the HTTP server.
    pub port: u16,
    /// The namespaces of `-namespace` to watch, none for all.
    pub namespaces: BTreeSet<String>,
    /// Namespace of the Lease.
    pub lease_namespace: String,
    /// The least severe level that is logged: a word that `tracing` knows.
    pub log_level: String,
    /// `-zap-encoding`
    pub log_format: LogFormat,
}

/// Version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Reads the arguments after the program's name and subcommand, and the environment.
pub fn read(arguments: &[String], environment: &dyn Fn(&str) -> Option<String>) -> Request {
    let mut values = match flags::parse(FLAGS, arguments) {
        Ok(values) => values,
        Err(Trouble::Help) => return Request::Show(usage()),
        Err(Trouble::Wrong(reason)) => return Request::Refuse(format!("{reason}\n{}", usage())),
    };
    values.override_by(environment);
    if values.switch("version") {
        return Request::Show(format!("Burgee version {VERSION} revision  unknown\n"));
    }
    match options(&values) {
        Ok(options) => Request::Run(Box::new(options)),
        Err(reason) => Request::Refuse(format!("{reason}\n{}", usage())),
    }
}

fn options(values: &Values) -> Result<Options, String> {
    allowed_hosts(&values.text("allowed-hosts"))?;
    let port = values.text("port");
    let namespaces: BTreeSet<String> = values.list("namespace").into_iter().collect();
    let only = namespaces.iter().next().filter(|_| namespaces.len() == 1);
    Ok(Options {
        settings: settings(values),
        notifier: notifier(values),
        exceptions: exceptions(values)?,
        kubeconfig: values.text("kubeconfig"),
        master: values.text("master"),
        mesh_kubeconfig: values.text("kubeconfig-service-mesh"),
        port: port.parse().map_err(|_| format!("invalid value {port:?} for flag -port: not a port"))?,
        lease_namespace: only.cloned().unwrap_or_else(|| values.text("leader-election-namespace")),
        namespaces,
        log_level: level(&values.text("log-level")).to_owned(),
        log_format: if values.text("zap-encoding") == "console" { LogFormat::Console } else { LogFormat::Json },
    })
}

fn exceptions(values: &Values) -> Result<Exceptions, String> {
    let parts = values.list("allow-addresses");
    let parsed = Exceptions::parse(parts.iter().map(String::as_str));
    parsed.map_err(|reason| format!("invalid value for flag -allow-addresses: {reason}"))
}

/// The hosts that namespaces may claim, as in `team-a=*.a.example.com,shop.example.com;*=shared.example.com`. The error is
/// what is wrong with it: what nobody understands must not mean that everything is allowed.
fn allowed_hosts(text: &str) -> Result<BTreeMap<String, Vec<String>>, String> {
    let mut allowed: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in text.split(';').map(str::trim).filter(|entry| !entry.is_empty()) {
        let (namespace, hosts) = entry.split_once('=').unwrap_or((entry, ""));
        let hosts = hosts.split(',').map(|host| host.trim().to_lowercase()).filter(|host| !host.is_empty());
        let (namespace, hosts) = (namespace.trim(), hosts.collect::<Vec<String>>());
        if hosts.is_empty() || !(namespace == "*" || dns::is_label(namespace)) {
            return Err(format!("invalid value {text:?} for flag -allowed-hosts: {entry:?} is not NAMESPACE=HOST,..."));
        }
        allowed.entry(namespace.to_owned()).or_default().extend(hosts);
    }
    Ok(allowed)
}

fn audience(values: &Values) -> Audience {
    let has_chat = ["slack-url", "msteams-url"].iter().any(|flag| !values.text(flag).is_empty());
    if has_chat { Audience::Chat } else { Audience::Nobody }
}

fn settings(values: &Values) -> Settings {
    Settings {
        mesh_provider: values.text("mesh-provider"),
        metrics_server: values.text("metrics-server").into(),
        selector_labels: values.list("selector-labels"),
        include_label_prefixes: values.list("include-label-prefix"),
        config_tracking: values.switch("enable-config-tracking"),
        no_cross_namespace_refs: values.switch("no-cross-namespace-refs"),
        drain_delay_milliseconds: milliseconds(&values.text("drain-delay")).unwrap_or_default(),
        allowed_hosts: allowed_hosts(&values.text("allowed-hosts")).unwrap_or_default(),
        cluster_name: values.text("cluster-name"),
        audience: audience(values),
        pause_new_runs: values.switch("pause-new-runs"),
    }
}

fn notifier(values: &Values) -> Notifier {
    Notifier {
        slack_url: values.text("slack-url").into(),
        slack_token: values.text("slack-token"),
        slack_proxy_url: values.text("slack-proxy-url").into(),
        slack_user: values.text("slack-user"),
        slack_channel: values.text("slack-channel"),
        msteams_url: values.text("msteams-url").into(),
        msteams_proxy_url: values.text("msteams-proxy-url").into(),
        event_webhook: values.text("event-webhook").into(),
    }
}

/// Any word but the peer's own means info, as in the contract; fatal and panic leave only errors.
pub fn level(word: &str) -> &'static str {
    match word {
        "debug" => "debug",
        "warn" => "warn",
        "error" | "fatal" | "panic" => "error",
        _ => "info",
    }
}

fn usage() -> String {
    format!(
        "burgee controller {VERSION}: progressive delivery for Kubernetes\n\n\
         Usage: burgee controller [-flag] [-flag=value] [-flag value]\n{}",
        flags::lines(FLAGS)
    )
}
