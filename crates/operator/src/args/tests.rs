//! The command line as users of the peer write it.

use super::*;

fn given(line: &str) -> Request {
    let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    read(&arguments, &|_| None)
}

fn options(line: &str) -> Options {
    match given(line) {
        Request::Run(options) => *options,
        other @ (Request::Show(_) | Request::Refuse(_)) => panic!("{line}: {other:?}"),
    }
}

fn check_refused(line: &str, expected: &str) {
    match given(line) {
        Request::Refuse(text) => assert_eq!(text.lines().next(), Some(expected), "{line}"),
        other @ (Request::Run(_) | Request::Show(_)) => panic!("{line}: {other:?}"),
    }
}

#[test]
fn one_dash_two_dashes_equals_and_blank_mean_the_same() {
    for line in ["-port=9090", "--port=9090", "-port 9090", "--port 9090", "-v 2 -port=9090 -logtostderr"] {
        assert_eq!(options(line).port, 9090, "{line}");
    }
}

#[test]
fn switches_take_no_separate_value() {
    assert!(options("-no-cross-namespace-refs").settings.no_cross_namespace_refs);
    assert!(!options("-enable-config-tracking=false").settings.config_tracking);
    assert!(options("-enable-config-tracking=T").settings.config_tracking);
    assert_eq!(
        options("-pause-new-runs false -port=9090").port,
        8080,
        "a word that is no flag ends the flags, as in Go"
    );
}

#[test]
fn defaults_are_those_of_the_contract() {
    let options = options("");
    assert_eq!(options.settings, Settings::default());
    assert_eq!(options.lease_namespace, "kube-system");
    assert_eq!(options.notifier.slack_user, "flagger");
    assert_eq!((options.port, options.log_level.as_str()), (8080, "debug"));
    assert!(options.namespaces.is_empty());
}

#[test]
fn the_flags_of_the_articles_reach_the_settings() {
    let options = options(
        "-mesh-provider=kubernetes -metrics-server http://p:9090 -selector-labels=app,k8s-app -namespace=test \
         -include-label-prefix=app.kubernetes.io -log-level=info -drain-delay=1m30s -cluster-name=staging \
         -leader-election-namespace=other -allow-addresses=10.0.0.1,,localhost",
    );
    assert_eq!(options.exceptions, Exceptions::parse(["10.0.0.1", "localhost"]).unwrap());
    assert_eq!(options.settings.mesh_provider, "kubernetes");
    assert_eq!(options.settings.metrics_server.written(), "http://p:9090");
    assert_eq!(options.settings.selector_labels, ["app", "k8s-app"]);
    assert_eq!(options.settings.include_label_prefixes, ["app.kubernetes.io"]);
    assert_eq!(options.settings.drain_delay_milliseconds, 90_000);
    assert_eq!(options.settings.cluster_name, "staging");
    assert_eq!((options.lease_namespace.as_str(), &options.namespaces), ("test", &["test".to_owned()].into()));
}

#[test]
fn with_several_namespaces_the_lease_is_where_its_flag_says() {
    let options = options("-namespace=b,a -leader-election-namespace=other");
    assert_eq!(options.namespaces, ["a".to_owned(), "b".to_owned()].into());
    assert_eq!(options.lease_namespace, "other");
}

#[test]
fn wrong_flags_are_refused_in_the_words_of_go() {
    check_refused("-nonsense", "flag provided but not defined: -nonsense");
    check_refused("-port", "flag needs an argument: -port");
    check_refused(
        "-no-cross-namespace-refs=maybe",
        "invalid boolean value \"maybe\" for flag -no-cross-namespace-refs: parse error",
    );
    check_refused("-drain-delay=soon", "invalid value \"soon\" for flag -drain-delay: parse error");
    check_refused(
        "-allow-addresses=10.0.0.0/40",
        "invalid value for flag -allow-addresses: \"10.0.0.0/40\" is no address, block of addresses or name of a host",
    );
    check_refused("-port=http", "invalid value \"http\" for flag -port: not a port");
}

#[test]
fn the_environment_overrides_flags_unless_it_is_empty() {
    let arguments = ["-slack-url=http://flag".to_owned(), "-event-webhook=http://flag".to_owned()];
    let environment = |name: &str| match name {
        "SLACK_URL" => Some("http://environment".to_owned()),
        "EVENT_WEBHOOK_URL" => Some(String::new()),
        _ => None,
    };
    let Request::Run(options) = read(&arguments, &environment) else { panic!("refused") };
    assert_eq!(options.notifier.slack_url.written(), "http://environment");
    assert_eq!(options.notifier.event_webhook.written(), "http://flag");
}

#[test]
fn version_and_help_are_shown() {
    assert_eq!(given("-version"), Request::Show(format!("Burgee version {VERSION} revision  unknown\n")));
    let Request::Show(help) = given("--help") else { panic!("no help") };
    assert!(help.contains("\nRollouts:\n  -mesh-provider string\n    \tWho splits traffic"));
    assert!(help.contains("[$SLACK_URL]"));
}

#[test]
fn unknown_log_levels_mean_info_as_in_the_contract() {
    for (word, expected) in [("warning", "info"), ("warn", "warn"), ("panic", "error"), ("debug", "debug")] {
        assert_eq!(options(&format!("-log-level={word}")).log_level, expected);
    }
}

#[test]
fn hosts_are_given_to_namespaces_and_what_is_not_understood_is_refused() {
    let hosts = |text: &str| allowed_hosts(text).map(|allowed| serde_json::to_string(&allowed).unwrap());
    assert_eq!(hosts(""), Ok("{}".to_owned()));
    let two = r#"{"*":["shared.example.com"],"team-a":["*.a.example.com","shop.example.com"]}"#.to_owned();
    assert_eq!(hosts("team-a=*.a.example.com, shop.example.com ;*=Shared.example.com;"), Ok(two));
    for wrong in ["team-a", "team-a=", "=a.example.com", "team a=a.example.com", "*.example.com"] {
        assert!(hosts(wrong).is_err_and(|error| error.contains("-allowed-hosts")), "{wrong}");
    }
}

#[test]
fn the_help_of_the_mesh_provider_names_every_router() {
    let flag = FLAGS.iter().find(|flag| flag.name == "mesh-provider").unwrap();
    let expected = format!("canaries that name no provider: {}.", burgee_core::router::table::choices());
    assert!(flag.help.ends_with(&expected), "{} should end with {expected}", flag.help);
}
