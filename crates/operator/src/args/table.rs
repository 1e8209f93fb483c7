//! The table of flags, in the order and groups of `-help`. It parses nothing.

use crate::flags::Flag;
use crate::flags::Shape::{Duration, Number, Switch, Text};

const ROLLOUT: &str = "Rollouts:";
const CLUSTER: &str = "Cluster:";
const ALERTS: &str = "Alerts and events:";
const PROCESS: &str = "Process:";
const IGNORED: &str = "Accepted for compatibility, without effect:";

#[rustfmt::skip]
pub(super) const FLAGS: &[Flag] = &[
    Flag::new(ROLLOUT, "mesh-provider", Text, "istio", "Who splits traffic for canaries that name no provider: istio, kubernetes, knative, smi:istio, smi:v1alpha2:istio, smi:v1alpha3:istio, smi:v1alpha1, smi:v1alpha2, smi:v1alpha3, linkerd or osm."),
    Flag::new(ROLLOUT, "metrics-server", Text, "http://prometheus:9090", "Prometheus that builtin and inline queries ask."),
    Flag::new(ROLLOUT, "selector-labels", Text, "app,name,app.kubernetes.io/name", "Pod labels that may select a workload, in order of preference."),
    Flag::new(ROLLOUT, "include-label-prefix", Text, "", "Comma separated prefixes of labels and annotations that are copied to primaries, * for all."),
    Flag::new(ROLLOUT, "enable-config-tracking", Switch, "true", "Start a run when a ConfigMap or Secret of the target changes."),
    Flag::new(ROLLOUT, "no-cross-namespace-refs", Switch, "false", "Refuse references to templates and alert providers of other namespaces."),
    Flag::new(ROLLOUT, "allowed-hosts", Text, "", "Hosts that canaries of a namespace may claim, as team-a=*.a.example.com;*=shared.example.com; empty is all."),
    Flag::new(ROLLOUT, "drain-delay", Duration, "10s", "How long a set keeps its pods after its traffic has gone, 0s for Flagger's timing."),
    Flag::new(ROLLOUT, "pause-new-runs", Switch, "false", "Let runs under way finish and start no new ones."),
    Flag::new(ROLLOUT, "allow-addresses", Text, "", "Addresses, blocks and hosts that objects may name although they are loopback, link-local or the API server."),
    Flag::new(CLUSTER, "namespace", Text, "", "Watch this namespace only, or these, separated by commas; empty is all."),
    Flag::new(CLUSTER, "kubeconfig", Text, "", "Path to a kubeconfig, when not running in a cluster."),
    Flag::new(CLUSTER, "master", Text, "", "Address of the API server, overriding the kubeconfig."),
    Flag::new(CLUSTER, "kubeconfig-service-mesh", Text, "", "Path to the kubeconfig of the cluster that holds the mesh objects."),
    Flag::new(CLUSTER, "leader-election-namespace", Text, "kube-system", "Namespace of the Lease; -namespace wins when it names one."),
    Flag::new(ALERTS, "cluster-name", Text, "", "Name of the cluster, shown in alerts."),
    Flag::new(ALERTS, "event-webhook", Text, "", "URL that every event is sent to.").or("EVENT_WEBHOOK_URL"),
    Flag::new(ALERTS, "slack-url", Text, "", "Slack hook that alerts are sent to.").or("SLACK_URL"),
    Flag::new(ALERTS, "slack-token", Text, "", "Slack bot token.").or("SLACK_TOKEN"),
    Flag::new(ALERTS, "slack-proxy-url", Text, "", "Proxy on the way to Slack.").or("SLACK_PROXY_URL"),
    Flag::new(ALERTS, "slack-user", Text, "flagger", "Slack user name."),
    Flag::new(ALERTS, "slack-channel", Text, "", "Slack channel."),
    Flag::new(ALERTS, "msteams-url", Text, "", "MS Teams hook that alerts are sent to, instead of Slack.").or("MSTEAMS_URL"),
    Flag::new(ALERTS, "msteams-proxy-url", Text, "", "Proxy on the way to MS Teams.").or("MSTEAMS_PROXY_URL"),
    Flag::new(PROCESS, "port", Text, "8080", "Port of /metrics, /healthz and /readyz."),
    Flag::new(PROCESS, "log-level", Text, "debug", "debug, info, warn, error, fatal or panic."),
    Flag::new(PROCESS, "zap-encoding", Text, "json", "Form of the logs: json or console."),
    Flag::new(PROCESS, "version", Switch, "false", "Print the version and exit."),
    Flag::new(IGNORED, "enable-leader-election", Switch, "false", "The lease is always on."),
    Flag::new(IGNORED, "control-loop-interval", Duration, "10s", "Canaries are watched, not polled."),
    Flag::new(IGNORED, "threadiness", Number, "2", "Ticks run concurrently."),
    Flag::new(IGNORED, "kubeconfig-qps", Number, "100", "Requests are few."),
    Flag::new(IGNORED, "kubeconfig-burst", Number, "250", "Requests are few."),
    Flag::new(IGNORED, "ingress-annotations-prefix", Text, "nginx.ingress.kubernetes.io", "For the nginx provider, which is not there yet."),
    Flag::new(IGNORED, "ingress-class", Text, "", "For the contour provider, which is not there yet."),
    Flag::new(IGNORED, "zap-replace-globals", Switch, "false", "There are no globals."),
    Flag::new(IGNORED, "add_dir_header", Switch, "false", "Of klog."),
    Flag::new(IGNORED, "alsologtostderr", Switch, "false", "Of klog."),
    Flag::new(IGNORED, "log_backtrace_at", Text, "", "Of klog."),
    Flag::new(IGNORED, "log_dir", Text, "", "Of klog."),
    Flag::new(IGNORED, "log_file", Text, "", "Of klog."),
    Flag::new(IGNORED, "log_file_max_size", Number, "1800", "Of klog."),
    Flag::new(IGNORED, "logtostderr", Switch, "true", "Of klog."),
    Flag::new(IGNORED, "one_output", Switch, "false", "Of klog."),
    Flag::new(IGNORED, "skip_headers", Switch, "false", "Of klog."),
    Flag::new(IGNORED, "skip_log_headers", Switch, "false", "Of klog."),
    Flag::new(IGNORED, "stderrthreshold", Text, "2", "Of klog."),
    Flag::new(IGNORED, "v", Number, "0", "Of klog."),
    Flag::new(IGNORED, "vmodule", Text, "", "Of klog."),
];
