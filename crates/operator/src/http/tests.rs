//! Deadlines, limits and redirects against a server on the loopback.

use axum::http::StatusCode as Code;
use axum::response::IntoResponse;

use super::*;
use crate::fixtures::{Fake, at_home, object};

const LIMITS: Limits = Limits { deadline: Duration::from_secs(5), bytes: 8, trust: Trust::Verified, aim: Aim::Object };

async fn post(url: &str) -> Result<http::Response<Bytes>, SendError> {
    let request = http::Request::post(url).body(Bytes::from_static(b"{}")).unwrap();
    Outside::new(at_home()).unwrap().send(request, LIMITS).await
}

fn to(code: Code, url: String) -> axum::response::Response {
    (code, [("location", url)]).into_response()
}

#[tokio::test]
async fn answers_are_cut_at_the_limit() {
    let fake = Fake::start(|_| (Code::OK, "0123456789").into_response()).await;
    assert_eq!(post(&fake.url).await.unwrap().body().as_ref(), b"01234567");
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/secret-token", listener.local_addr().unwrap());
    let request = http::Request::get(&url).body(Bytes::new()).unwrap();
    let limits = Limits { deadline: Duration::from_millis(50), ..LIMITS };
    let error = Outside::new(at_home()).unwrap().send(request, limits).await.unwrap_err().to_string();
    assert!(error.contains("timed out") && !error.contains("secret-token"), "{error}");
}

#[tokio::test]
async fn a_post_is_not_sent_again_to_another_host() {
    let other = Fake::start(|request| object(&request.body)).await;
    let target = other.url.clone();
    let first = Fake::start(move |_| to(Code::TEMPORARY_REDIRECT, target.clone())).await;
    assert_eq!(post(&first.url).await.unwrap().status(), Code::TEMPORARY_REDIRECT);
    assert_eq!(other.seen(), []);
}

#[tokio::test]
async fn redirects_of_the_same_host_are_followed_but_not_for_ever() {
    let fake = Fake::start(|request| match request.path.as_str() {
        "/loop" => to(Code::TEMPORARY_REDIRECT, "/loop".to_owned()),
        "/start" => to(Code::TEMPORARY_REDIRECT, "/end".to_owned()),
        _ => (Code::OK, "end").into_response(),
    })
    .await;
    assert_eq!(post(&format!("{}/start", fake.url)).await.unwrap().body().as_ref(), b"end");
    let error = post(&format!("{}/loop", fake.url)).await.unwrap_err().to_string();
    assert!(error.contains("stopped after 5 redirects"), "{error}");
}

/// Follows a chain of so many redirects. Answers the end or the error, and how many requests there were.
async fn chained(redirects: usize) -> (Result<Bytes, SendError>, usize) {
    let fake = Fake::start(move |request| {
        let done: usize = request.path.trim_start_matches('/').parse().unwrap();
        if done == redirects { (Code::OK, "end").into_response() } else { to(Code::FOUND, format!("/{}", done + 1)) }
    })
    .await;
    let answer = post(&format!("{}/0", fake.url)).await;
    (answer.map(http::Response::into_body), fake.seen().len())
}

#[tokio::test]
async fn five_redirects_are_followed_and_no_sixth() {
    assert_eq!(chained(5).await, (Ok(Bytes::from_static(b"end")), 6));
    let (answer, requests) = chained(6).await;
    assert!(answer.is_err_and(|error| error.to_string().contains("stopped after 5 redirects")));
    assert_eq!(requests, 6);
}

/// Posts to a server that answers with a redirect to another host and one that leads to itself, with these headers.
/// Answers what both were asked in the end.
async fn redirected_with(code: Code, headers: &[(&str, &str)]) -> [Vec<crate::fixtures::Seen>; 2] {
    let other = Fake::start(|request| object(&request.body)).await;
    let away = other.url.clone();
    let own = Fake::start(move |request| match request.path.as_str() {
        "/away" => to(code, away.clone()),
        "/here" => to(code, "/end".to_owned()),
        _ => object(&request.body),
    })
    .await;
    for path in ["/away", "/here"] {
        let mut request = http::Request::post(format!("{}{path}", own.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Bytes::from_static(b"{\"a\": 1}")).unwrap();
        Outside::new(at_home()).unwrap().send(request, LIMITS).await.unwrap();
    }
    let ended = own.seen().into_iter().filter(|seen| seen.path == "/end").collect();
    [other.seen(), ended]
}

const CODES: [Code; 5] =
    [Code::MOVED_PERMANENTLY, Code::FOUND, Code::SEE_OTHER, Code::TEMPORARY_REDIRECT, Code::PERMANENT_REDIRECT];

#[tokio::test]
async fn a_redirect_is_followed_within_its_host_and_never_to_another() {
    for code in CODES {
        let [other, own] = redirected_with(code, &[("content-type", "application/json")]).await;
        assert_eq!(other, [], "{code}");
        let asked: Vec<_> = own.iter().map(|seen| (seen.method.as_str(), seen.body["a"].as_u64())).collect();
        let is_repeated = matches!(code, Code::TEMPORARY_REDIRECT | Code::PERMANENT_REDIRECT);
        assert_eq!(asked, [if is_repeated { ("POST", Some(1)) } else { ("GET", None) }], "{code}");
    }
}

#[tokio::test]
async fn what_carries_credentials_or_headers_follows_no_redirect_at_all() {
    for headers in [("authorization", "Bearer secret"), ("cookie", "secret"), ("x-scope-orgid", "team")] {
        for code in CODES {
            assert_eq!(redirected_with(code, &[headers]).await, [[], []], "{headers:?} {code}");
        }
    }
}

#[test]
fn a_redirect_to_another_scheme_or_port_or_with_credentials_is_not_followed() {
    let request = || Request::new(Method::POST, "http://a.example:80/".parse().unwrap());
    let ends = |to: &'static str| {
        redirected(request(), StatusCode::FOUND, Some(&HeaderValue::from_static(to))).map(|next| next.url().to_string())
    };
    for away in ["https://a.example/", "http://a.example:81/", "//b.example/", "http://a.example.b/", "file:///etc"] {
        assert_eq!(ends(away), None, "{away}");
    }
    assert_eq!(ends("http://user:secret@a.example/"), None);
    assert_eq!(ends("http://A.example:80/x"), Some("http://a.example/x".to_owned()));
}

#[tokio::test]
async fn a_name_and_password_in_the_url_are_sent_as_what_they_mean() {
    let fake = Fake::start(|request| object(&request.body)).await;
    post(&fake.url.replace("http://", "http://user:open%20sesame+@")).await.unwrap();
    let expected = format!("Basic {}", BASE64.encode("user:open sesame+"));
    assert_eq!(fake.seen()[0].authorization, expected);
}

/// Sends to this port of the loopback under another name, as an object would have it. Answers why not.
async fn aimed(guard: Guard, host: &str, port: u16) -> Result<StatusCode, SendError> {
    let url = Url::parse(&format!("http://{host}:{port}/")).unwrap();
    let request = http::Request::post(url.as_str()).body(Bytes::new()).unwrap();
    Outside::new(guard).unwrap().send(request, LIMITS).await.map(|answer| answer.status())
}

fn port(fake: &Fake) -> u16 {
    Url::parse(&fake.url).unwrap().port().unwrap()
}

#[tokio::test]
async fn an_object_reaches_the_loopback_in_no_spelling() {
    let fake = Fake::start(|request| object(&request.body)).await;
    let spellings = [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0x7f.1",
        "127.1",
        "%31%32%37.0.0.1",
        "0",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "x.localhost",
        "１２７.0.0.1",
    ];
    for spelling in spellings {
        let error = aimed(Guard::default(), spelling, port(&fake)).await;
        assert!(matches!(error, Err(SendError::Refused(_))), "{spelling}: {error:?}");
    }
    assert_eq!(fake.seen(), []);
}

#[tokio::test]
async fn what_a_name_leads_to_is_refused_after_it_was_resolved() {
    let guard = Guard::default();
    let error = guard.resolve("localhost").await.unwrap_err().to_string();
    assert!(error.starts_with("localhost leads to ") && error.contains("a loopback address"), "{error}");
    // As a name of anybody's that leads to the loopback: the guard sees it only when it is resolved.
    let resolved = Client::builder().dns_resolver(Resolver(Arc::new(Guard::default()))).no_proxy().build().unwrap();
    let sent = resolved.get("http://localhost:1/").send().await.map_err(SendError::from);
    assert!(matches!(sent, Err(SendError::Refused(_))), "{sent:?}");
}

#[tokio::test]
async fn the_api_server_is_refused_in_every_spelling_and_by_its_name() {
    async fn check(servers: &[&str], host: &str) {
        let servers: Vec<String> = servers.iter().map(|server| (*server).to_owned()).collect();
        let error = aimed(Guard::new(&servers, Exceptions::default()), host, 1).await;
        assert!(error.as_ref().is_err_and(|error| error.to_string().contains("the API server")), "{host}: {error:?}");
    }
    for host in ["10.1.2.3", "0x0a010203", "[::ffff:10.1.2.3]", "[fd00:0::7]", "[fd00::8]"] {
        check(&["10.1.2.3", "[fd00::7]", "fd00::8"], host).await;
    }
    check(&["api.example"], "API.example.").await;
    // A name is resolved, and what it leads to is refused as well.
    check(&["localhost"], "127.0.0.1").await;
}

#[tokio::test]
async fn the_flag_lists_exceptions_and_the_administrator_needs_none() {
    let fake = Fake::start(|request| object(&request.body)).await;
    let excepted = |part| Guard::new(&["127.0.0.1".to_owned()], Exceptions::parse([part]).unwrap());
    for (part, host) in [("127.0.0.0/8", "127.0.0.1"), ("127.0.0.1", "[::ffff:127.0.0.1]"), ("localhost", "localhost")]
    {
        let answer = aimed(excepted(part), host, port(&fake)).await;
        // Not every machine's stack takes the mapped spelling; what counts is that nobody refuses it.
        assert!(!matches!(answer, Err(SendError::Refused(_))), "{host}: {answer:?}");
    }
    let request = http::Request::post(&fake.url).body(Bytes::new()).unwrap();
    let limits = Limits { aim: Aim::Administrator, ..LIMITS };
    let before = fake.seen().len();
    Outside::new(Guard::default()).unwrap().send(request, limits).await.unwrap();
    assert_eq!(fake.seen().len(), before + 1);
}

#[tokio::test]
async fn a_proxy_that_an_object_names_is_held_to_the_same() {
    let fake = Fake::start(|request| object(&request.body)).await;
    let outside = Outside::new(Guard::default()).unwrap();
    for proxy in [fake.url.clone(), fake.url.replace("http://", ""), fake.url.replace("127.0.0.1", "localhost")] {
        let refused = outside.through(&proxy.as_str().into(), Aim::Object).await.map(drop);
        assert!(matches!(refused, Err(SendError::Refused(_))), "{proxy}: {refused:?}");
    }
    let through = outside.through(&fake.url.as_str().into(), Aim::Administrator).await.unwrap();
    let request = http::Request::post("http://chat.example/hook").body(Bytes::new()).unwrap();
    through.send(request, Limits { aim: Aim::Administrator, ..LIMITS }).await.unwrap();
    assert_eq!(fake.seen()[0].path, "http://chat.example/hook");
    let request = http::Request::post("http://169.254.169.254/hook").body(Bytes::new()).unwrap();
    let refused = through.send(request, LIMITS).await;
    assert!(matches!(refused, Err(SendError::Refused(_))), "{refused:?}");
}

#[tokio::test]
async fn the_environments_proxy_may_be_on_this_machine_and_is_no_way_to_it() {
    let variable = |name: &str| (name == "https_proxy").then(|| "localhost:3128".to_owned());
    let guard = Guard::default().trusting_proxies(&variable);
    assert!(guard.resolve("localhost").await.is_ok());
    let direct = guard.admit(&Url::parse("http://localhost:3128/").unwrap()).await;
    assert!(direct.is_err());
}
