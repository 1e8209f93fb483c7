//! Goldens of the chats' payloads and the rules of what is sent where; nothing is sent here.

use burgee_api::matching::HttpMatch;
use burgee_api::{Phase, Severity};
use serde_json::json;

use super::*;
use crate::fixtures::check_golden;

const DISCORD: Chat = Chat(&discord::ROW);
const ROCKET: Chat = Chat(&rocket::ROW);
const GOOGLE_CHAT: Chat = Chat(&google_chat::ROW);
const WEBHOOK: Chat = Chat(&webhook::ROW);
const ALERTMANAGER: Chat = Chat(&alertmanager::ROW);

fn destination(chat: Chat) -> Destination {
    Destination {
        chat,
        address: "https://chat.example/hooks/s3cr3t".into(),
        channel: "general".into(),
        username: "flagger".into(),
        token: None,
    }
}

fn alert(severity: Severity, fields: &[(&str, &str)]) -> Alert {
    Alert {
        canary: "podinfo".into(),
        namespace: "test".into(),
        message: "Canary analysis completed successfully, promotion finished.".into(),
        severity,
        fields: fields.iter().map(|(title, value)| ((*title).to_owned(), (*value).to_owned())).collect(),
        target: ("Deployment".into(), "podinfo".into()),
        cluster_name: String::new(),
        phase: Phase::Succeeded,
        time: "2026-11-30T20:31:06.5Z".parse().expect("a time"),
    }
}

fn check(chat: Chat, severity: Severity, fields: &[(&str, &str)], expected: &Value) {
    let request = destination(chat).request(&alert(severity, fields)).expect("a valid destination");
    let request = request.expect("an address");
    assert_eq!(request.method(), "POST");
    assert_eq!(request.headers()["content-type"], "application/json");
    let body: Value = serde_json::from_slice(request.body()).expect("JSON");
    assert_eq!(body, *expected);
}

fn slack_like(color: &str, fields: &Value) -> Value {
    json!({
        "channel": "general", "username": "flagger", "icon_url": "", "icon_emoji": ":rocket:",
        "attachments": [{
            "color": color, "author_name": "podinfo.test", "mrkdwn_in": ["text"], "fields": fields,
            "text": "Canary analysis completed successfully, promotion finished.",
        }],
    })
}

#[test]
fn slack_discord_and_rocket_share_a_format() {
    let fields = json!([{ "title": "Cluster", "value": "eu", "short": false }]);
    check(Chat::SLACK, Severity::Info, &[("Cluster", "eu")], &slack_like("good", &fields));
    check(Chat::SLACK, Severity::Warn, &[], &slack_like("good", &json!([])));
    check(Chat::SLACK, Severity::Error, &[], &slack_like("danger", &json!([])));
    check(DISCORD, Severity::Error, &[], &slack_like("danger", &json!([])));
    check(ROCKET, Severity::Info, &[], &slack_like("#0076D7", &json!([])));
    check(ROCKET, Severity::Error, &[], &slack_like("#FF0000", &json!([])));
}

#[test]
fn teams_gets_a_message_card() {
    let card = |color: &str, facts: &Value| {
        json!({
            "@type": "MessageCard", "@context": "http://schema.org/extensions", "themeColor": color,
            "summary": "podinfo.test",
            "sections": [{
                "activityTitle": "Canary analysis completed successfully, promotion finished.",
                "activitySubtitle": "podinfo.test", "facts": facts,
            }],
        })
    };
    let facts = json!([{ "name": "Cluster", "value": "eu" }]);
    check(Chat::TEAMS, Severity::Info, &[("Cluster", "eu")], &card("0076D7", &facts));
    check(Chat::TEAMS, Severity::Error, &[], &card("FF0000", &json!([])));
}

#[test]
fn google_chat_gets_a_card() {
    let text = |text: &str| json!({ "widgets": [{ "textParagraph": { "text": text } }] });
    let message =
        text("<font color=#848484><strong>Canary analysis completed successfully, promotion finished.</strong></font>");
    let field = text("Cluster<br><font color=#848484><strong>eu</strong></font>");
    let header =
        json!({ "title": "Flagger", "subtitle": "podinfo.test", "imageUrl": "https://flagger.app/favicon.png" });
    let expected = json!({ "cards": [{ "header": header, "sections": [message, field] }] });
    check(GOOGLE_CHAT, Severity::Info, &[("Cluster", "eu")], &expected);
}

/// A message is addressed so.
fn check_address(chat: Chat, address: &str, expected: &str) {
    let destination = Destination { address: address.into(), ..destination(chat) };
    let request = destination.request(&alert(Severity::Info, &[])).expect("valid").expect("an address");
    assert_eq!(request.uri().to_string(), expected);
}

#[test]
fn discord_is_addressed_in_its_slack_way() {
    let expected = "https://discord.com/api/webhooks/1/x/slack";
    check_address(DISCORD, "https://discord.com/api/webhooks/1/x", expected);
    check_address(DISCORD, expected, expected);
}

#[test]
fn alertmanager_is_addressed_by_its_host_or_by_its_api() {
    let expected = "http://alertmanager:9093/api/v2/alerts";
    for address in ["http://alertmanager:9093", "http://alertmanager:9093/", expected] {
        check_address(ALERTMANAGER, address, expected);
    }
    check_address(ALERTMANAGER, "https://a.example/am/", "https://a.example/am/api/v2/alerts");
    check_address(WEBHOOK, "https://a.example/hook?x=1", "https://a.example/hook?x=1");
}

#[test]
fn a_program_gets_all_that_is_known_as_json() {
    let fields = [("Cluster", "eu"), ("Progress deadline", "600s")];
    let expected = json!({
        "canary": "podinfo", "namespace": "test", "clusterName": "", "target": {"kind": "Deployment", "name": "podinfo"},
        "phase": "Succeeded", "severity": "warn",
        "message": "Canary analysis completed successfully, promotion finished.",
        "fields": {"Cluster": "eu", "Progress deadline": "600s"},
        "fieldList": [{"name": "Cluster", "value": "eu"}, {"name": "Progress deadline", "value": "600s"}],
        "time": "2026-11-30T20:31:06.500Z",
    });
    check(WEBHOOK, Severity::Warn, &fields, &expected);
}

#[test]
fn alertmanager_gets_a_list_of_one_alert() {
    let expected = json!([{
        "labels": {
            "alertname": "CanaryAlert", "canary": "podinfo", "namespace": "test", "phase": "Succeeded",
            "severity": "error", "message": "Canary analysis completed successfully, promotion finished.",
        },
        "annotations": {
            "summary": "podinfo.test: Canary analysis completed successfully, promotion finished.",
            "target": "Deployment/podinfo", "progress_deadline": "600s",
        },
        "startsAt": "2026-11-30T20:31:06.500Z",
    }]);
    check(ALERTMANAGER, Severity::Error, &[("Progress deadline", "600s")], &expected);
}

#[test]
fn those_that_ask_for_a_token_get_it() {
    let authorization = |chat| {
        let destination = Destination { token: Some("xoxb-1".into()), ..destination(chat) };
        let request = destination.request(&alert(Severity::Info, &[])).expect("valid").expect("an address");
        request.headers().get(AUTHORIZATION).map(|value| value.to_str().expect("text").to_owned())
    };
    for chat in [Chat::SLACK, WEBHOOK, ALERTMANAGER] {
        assert_eq!(authorization(chat), Some("Bearer xoxb-1".to_owned()), "{chat:?}");
    }
    for chat in [ROCKET, DISCORD, Chat::TEAMS, GOOGLE_CHAT] {
        assert_eq!(authorization(chat), None, "{chat:?}");
    }
}

#[test]
fn what_is_wrong_is_said_without_the_address() {
    fn check(destination: &Destination, expected: &str) {
        let error = destination.request(&alert(Severity::Info, &[])).expect_err("it is invalid");
        assert_eq!(error.to_string(), expected);
    }
    for (chat, expected) in [
        (Chat::SLACK, "invalid Slack hook URL (redacted)"),
        (DISCORD, "invalid Discord hook URL (redacted)"),
        (ROCKET, "invalid Rocket hook URL (redacted)"),
        (Chat::TEAMS, "invalid MS Teams webhook URL (redacted)"),
        (GOOGLE_CHAT, "invalid Google Chat webhook URL (redacted)"),
        (WEBHOOK, "invalid webhook URL (redacted)"),
        (ALERTMANAGER, "invalid Alertmanager URL (redacted)"),
    ] {
        check(&Destination { address: "s3cr3t".into(), ..destination(chat) }, expected);
    }
    check(&Destination { username: String::new(), ..destination(Chat::SLACK) }, "empty Slack username");
    check(&Destination { channel: String::new(), ..destination(ROCKET) }, "empty Rocket channel");
}

#[test]
fn without_an_address_nothing_is_sent() {
    let destination = Destination { address: Address::default(), ..destination(Chat::SLACK) };
    assert!(destination.request(&alert(Severity::Info, &[])).expect("no error").is_none());
}

#[test]
fn debug_shows_neither_address_nor_token() {
    let destination = Destination { token: Some("xoxb-1".into()), ..destination(Chat::SLACK) };
    let shown = format!("{destination:?}");
    assert!(shown.contains("general") && !shown.contains("s3cr3t") && !shown.contains("xoxb-1"), "{shown}");
}

#[test]
fn providers_and_their_secrets_are_read() {
    fn check(
        spec: &AlertProviderSpec,
        secret: Option<&[(&str, &str)]>,
        expected: Result<(&str, &str, Option<&str>), &str>,
    ) {
        let secret = secret.map(|entries| {
            entries
                .iter()
                .map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec()))
                .collect::<BTreeMap<_, _>>()
        });
        let read = Destination::from_provider(spec, secret.as_ref());
        let read = read.as_ref().map(|read| (read.address.written(), read.channel.as_str(), read.token.as_deref()));
        assert_eq!(read.map_err(ToString::to_string), expected.map_err(str::to_owned));
    }
    let spec = AlertProviderSpec {
        kind: Some("slack".into()),
        address: Some("https://a".into()),
        ..AlertProviderSpec::default()
    };
    check(&spec, None, Ok(("https://a", "general", None)));
    check(&spec, Some(&[("address", "https://b\n"), ("token", "t\n")]), Ok(("https://b", "general", Some("t"))));
    check(&spec, Some(&[("token", "t")]), Err("secret does not contain an address"));
    let channel = AlertProviderSpec { channel: Some("ops".into()), ..spec.clone() };
    check(&channel, None, Ok(("https://a", "ops", None)));
    for kind in ["webhook", "alertmanager"] {
        check(&AlertProviderSpec { kind: Some(kind.into()), ..spec.clone() }, None, Ok(("https://a", "general", None)));
    }
    check(&AlertProviderSpec { kind: Some("irc".into()), ..spec }, None, Err("provider irc not supported"));
}

#[test]
fn a_bad_answer_is_an_error() {
    let answer = |status: u16| Response::builder().status(status).body(Bytes::from_static(b"no_service")).expect("one");
    assert_eq!(sent(&answer(204)), Ok(()));
    assert_eq!(
        sent(&answer(404)).map_err(|error| error.to_string()),
        Err("sending notification bad response 404: 10 bytes".to_owned())
    );
}

#[test]
fn fields_tell_cluster_target_and_routing() {
    fn check(analysis: &Analysis, expected: Option<&str>) {
        let facts = Facts {
            target_kind: "Deployment",
            target: "app",
            namespace: "test",
            progress_deadline_seconds: 600,
            analysis: Some(analysis),
        };
        let mut wanted = vec![
            ("Cluster", "eu"),
            ("Target", "Deployment/app.test"),
            ("Failed checks threshold", "5"),
            ("Progress deadline", "600s"),
        ];
        wanted.extend(expected.map(|routing| ("Traffic routing", routing)));
        let wanted: Vec<_> = wanted.into_iter().map(|(title, value)| (title.to_owned(), value.to_owned())).collect();
        assert_eq!(fields("eu", Some(&facts)), wanted);
    }
    let plain = Analysis { threshold: Some(5), ..Analysis::default() };
    check(&plain, None);
    let stepped = Analysis { step_weight: Some(10), max_weight: Some(50), ..plain.clone() };
    check(&stepped, Some("Weight step: 10 max: 50"));
    let ladder = Analysis { step_weights: vec![1, 2, 10], ..plain.clone() };
    check(&ladder, Some("Weight steps: 1,2,10 max: 0"));
    let blue_green = Analysis { iterations: Some(10), ..plain };
    check(&blue_green, Some("Blue/Green"));
    check(&Analysis { matches: vec![HttpMatch::default()], ..blue_green }, Some("A/B Testing"));
    assert_eq!(fields("", None), Vec::new());
}

/// What a chat gets to read of an alert whose words somebody else wrote.
fn read_by(chat: Chat, words: &str) -> String {
    let mut alert = alert(Severity::Error, &[("Cluster", words)]);
    words.clone_into(&mut alert.message);
    let request = destination(chat).request(&alert).expect("valid").expect("an address");
    String::from_utf8(request.body().to_vec()).expect("text")
}

#[test]
fn words_of_others_call_nobody_and_hide_no_link() {
    fn check(chat: Chat, words: &str, live: &[&str]) {
        let body = read_by(chat, words);
        for markup in live {
            assert!(!body.contains(markup), "{chat:?} {markup}: {body}");
        }
    }
    let words = "<!channel> <@U1> @everyone @all <https://evil.example|here> [here](https://evil.example) <b>x</b>";
    check(Chat::SLACK, words, &["<!", "<@", "<https", "<b>"]);
    check(DISCORD, words, &["@everyone", "<@", "<!", "]("]);
    check(ROCKET, words, &["@all", "@everyone", "<https", "]("]);
    check(Chat::TEAMS, words, &["](", "<https", "<b>"]);
    check(GOOGLE_CHAT, words, &["<https", "<b>", "<!"]);
    for chat in [Chat::SLACK, DISCORD, ROCKET, Chat::TEAMS, GOOGLE_CHAT] {
        check(chat, "a\u{202e}b\u{1b}[2J\nc", &["\u{202e}", "\\u001b"]);
    }
    let line_ends = |body: &str| body.replace(r"\\", "").matches(r"\n").count();
    assert_eq!((line_ends(&read_by(Chat::SLACK, "a\nb")), line_ends(r#"{"text":"a\nb"}"#)), (0, 1));
    assert!(read_by(Chat::SLACK, "5 < 6 & 7").contains("5 &lt; 6 &amp; 7"));
    assert!(read_by(GOOGLE_CHAT, "x").contains("<strong>x</strong>"), "the format's own markup stays");
}

/// Words with the markup of every chat, and what commands terminals.
const HOSTILE: &str = "a <!channel> <!here> <@U1> <users/all> @everyone @here @all <https://evil.example|b> \
                       [c](https://evil.example) <a href='https://evil.example'>d</a> <at>e</at> *f* & \"g\" \\ \
                       \u{1b}[2J\u{202e}h\ni";

#[test]
fn every_notifier_is_one_that_the_api_server_takes_and_there_once() {
    let names: Vec<&str> = Chat::all().map(Chat::as_str).collect();
    let mut taken = burgee_api::ALERT_PROVIDERS.to_vec();
    for name in &names {
        let place = taken.iter().position(|taken| taken == name);
        taken.remove(place.unwrap_or_else(|| panic!("{name} is there twice, or refused by the schema")));
        assert_eq!(Chat::from_type(name).map(Chat::as_str), Some(*name));
    }
    assert_eq!(taken, Vec::<&str>::new(), "the schema takes what nobody sends");
    assert!(Chat::all().all(|chat| !chat.0.examples.is_empty()), "each has goldens");
}

#[test]
fn every_receiver_has_its_goldens_with_fields_without_and_with_hostile_words() {
    let whole = Alert {
        cluster_name: "eu".into(),
        phase: Phase::Progressing,
        message: "New revision detected, progressing canary analysis.".into(),
        ..alert(
            Severity::Info,
            &[
                ("Cluster", "eu"),
                ("Target", "Deployment/podinfo.test"),
                ("Failed checks threshold", "5"),
                ("Progress deadline", "600s"),
                ("Traffic routing", "Weight step: 10 max: 50"),
            ],
        )
    };
    let bare = Alert {
        phase: Phase::Failed,
        message: "Failed checks threshold reached 5".into(),
        ..alert(Severity::Error, &[])
    };
    let hostile = Alert {
        message: format!("Promotion failed, primary not ready: {HOSTILE}"),
        cluster_name: HOSTILE.into(),
        ..alert(Severity::Warn, &[("Cluster", HOSTILE)])
    };
    let examples = Chat::all().flat_map(|chat| chat.0.examples.iter().map(move |example| (chat, *example)));
    for (chat, (name, address)) in examples {
        let destination = Destination { address: address.into(), ..destination(chat) };
        for (case, alert) in [("fields", &whole), ("bare", &bare), ("hostile", &hostile)] {
            let request = destination.request(alert).expect("valid").expect("an address");
            let body: Value = serde_json::from_slice(request.body()).expect("JSON");
            check_golden(&format!("alert/{name}.{case}.yaml"), &body);
        }
    }
}

#[test]
fn workflows_of_teams_are_known_by_their_address() {
    let takes = |address: &str| teams::takes_adaptive_cards(&Url::parse(address).expect("a URL"));
    for address in [
        "https://prod-1.westeurope.logic.azure.com:443/workflows/x/triggers/manual/paths/invoke?sig=y",
        "https://x.environment.api.powerplatform.com/powerautomate/automations/direct/workflows/x",
        "https://relay.example/workflows/1",
    ] {
        assert!(takes(address), "{address}");
    }
    for address in [
        "https://acme.webhook.office.com/webhookb2/x/IncomingWebhook/y",
        "https://logic.azure.com.evil.example/x",
        "https://evillogic.azure.com.example/x",
        "https://notlogic.azure.com/x",
    ] {
        assert!(!takes(address), "{address}");
    }
}
