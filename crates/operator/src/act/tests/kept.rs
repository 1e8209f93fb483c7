//! What is kept and copied for a canary: it is read back only if it is the canary's and what the status remembers.

use super::*;
use burgee_core::plan::ConfigCopy;
use burgee_core::tracked;

fn copy(checksum: &str) -> Step {
    Step::CopyConfig(config_copy(checksum))
}

fn config_copy(checksum: &str) -> ConfigCopy {
    ConfigCopy {
        source: ObjectKey::new(Kind::ConfigMap, "test", "settings"),
        checksum: checksum.to_owned(),
        name: "settings-primary".to_owned(),
        owner: owner(),
        include_label_prefixes: Vec::new(),
    }
}

/// Methods and paths that were asked for, the paths without what comes after `?`.
fn asked(fake: &Fake) -> Vec<String> {
    let path = |seen: &Seen| seen.path.split('?').next().unwrap_or_default().to_owned();
    fake.seen().iter().map(|seen| format!("{} {}", seen.method, path(seen))).collect()
}

async fn check_copy(checksum: &str) -> (Result<(), Stopped>, Vec<String>) {
    let fake = Fake::start(|request| match (request.method.as_str(), request.path.ends_with("/settings")) {
        ("GET", true) => object(&json!({"metadata": {"name": "settings"}, "data": {"a": "1"}})),
        ("GET", false) => failure(404, "absent"),
        _ => object(&request.body),
    })
    .await;
    let result = act(&fake.operator(), &mut context(), vec![copy(checksum)]).await;
    (result, fake.seen().into_iter().map(|seen| seen.method).collect())
}

#[tokio::test]
async fn a_config_is_copied_only_with_the_content_that_was_analysed() {
    let analysed = tracked::checksum(&json!({"data": {"a": "1"}}));
    assert_eq!(check_copy(&analysed).await, (Ok(()), ["GET", "GET", "POST"].map(str::to_owned).to_vec()));
    let source = ObjectKey::new(Kind::ConfigMap, "test", "settings");
    let moved = Stopped::Conflict(source, "ConfigMap settings.test is no longer what was analysed".to_owned());
    assert_eq!(check_copy("0000000000000000").await, (Err(moved), vec!["GET".to_owned()]));
}

/// Copies a config where something of this metadata and content bears the name of the copy already.
async fn copied_over(metadata: Value, content: &'static str) -> Result<(), Stopped> {
    let fake = Fake::start(move |request| match (request.method.as_str(), request.path.ends_with("/settings")) {
        ("GET", true) => object(&json!({"metadata": {"name": "settings"}, "data": {"a": "1"}})),
        ("GET", false) => {
            let mut seen = settings(content);
            seen["metadata"]["ownerReferences"] = metadata["owners"].clone();
            seen["metadata"]["annotations"] = metadata["annotations"].clone();
            object(&seen)
        }
        _ => object(&request.body),
    })
    .await;
    let analysed = tracked::checksum(&json!({"data": {"a": "1"}}));
    act(&fake.operator(), &mut context(), vec![copy(&analysed)]).await
}

#[tokio::test]
async fn a_config_of_others_is_no_copy_and_stays_as_it_is() {
    let web = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "w", "controller": true}]);
    let text = "ConfigMap settings-primary.test is not the canary's, it belongs to Deployment web";
    assert_eq!(copied_over(json!({"owners": web}), "1").await, Err(Stopped::Failed(text.to_owned())));
    let text = "ConfigMap settings-primary.test is not the canary's and nobody's, remove it or hand it over with the \
                annotation burgee.flagger.app/adopt: podinfo";
    assert_eq!(copied_over(json!({}), "0").await, Err(Stopped::Failed(text.to_owned())));
    assert_eq!(copied_over(json!({}), "1").await, Ok(()), "nothing of it is lost");
    assert_eq!(copied_over(json!({"annotations": {"burgee.flagger.app/adopt": "podinfo"}}), "0").await, Ok(()));
    let shared = json!([{"apiVersion": "flagger.app/v1beta1", "kind": "Canary", "name": "web", "uid": "w",
                         "controller": true}]);
    assert_eq!(copied_over(json!({"owners": shared}), "0").await, Ok(()), "canaries share copies");
}

/// The copy of a ConfigMap with this content.
fn settings(content: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": content},
           "metadata": {"name": "settings-primary", "namespace": "test", "ownerReferences": [owner()]}})
}

/// A Secret that keeps a ConfigMap with this content.
fn bundle(content: &str) -> Value {
    let key = ObjectKey::new(Kind::Secret, "test", "podinfo-promoted-configs");
    tracked::bundle(&key, &owner(), &[settings(content)]).unwrap()
}

const BUNDLE: &str = "/api/v1/namespaces/test/secrets/podinfo-promoted-configs";
const COPY: &str = "/api/v1/namespaces/test/configmaps/settings-primary";

/// The step that keeps what a copy of this content replaces.
fn keep(content: &str) -> Step {
    let copy = config_copy(&tracked::checksum(&json!({"data": {"a": content}})));
    Step::KeepConfigs { key: ObjectKey::new(Kind::Secret, "test", "podinfo-promoted-configs"), copies: vec![copy] }
}

/// Takes a step where the primary has a config with the content 1, this Secret is there, and the status remembers this.
async fn taken_with(step: Step, secret: Option<Value>, noted: Option<&str>) -> (Result<(), Stopped>, Vec<String>) {
    let is_there = secret.is_some();
    let fake = Fake::start(move |request| match (request.method.as_str(), request.path.split('?').next().unwrap()) {
        ("GET", COPY) => object(&settings("1")),
        ("GET", BUNDLE) => secret.as_ref().map_or_else(|| failure(404, "absent"), object),
        ("POST", path) if path.ends_with("/secrets") && is_there => failure(409, "exists"),
        ("PATCH", _) => object(&json!({"metadata": {"name": "podinfo", "namespace": "test"}})),
        _ => object(&request.body),
    })
    .await;
    let mut context = context();
    let status = Arc::make_mut(&mut context.canary).status.as_mut();
    status.unwrap().run.as_mut().unwrap().kept_configs = noted.map(str::to_owned);
    let result = act(&fake.operator(), &mut context, vec![step]).await;
    (result, asked(&fake))
}

const SECRETS: &str = "POST /api/v1/namespaces/test/secrets";
const STATUS: &str = "PATCH /apis/flagger.app/v1beta1/namespaces/test/canaries/podinfo/status";

#[tokio::test]
async fn configs_that_get_another_content_are_kept_and_noted_and_others_are_not() {
    let (get, get_bundle) = (format!("GET {COPY}"), format!("GET {BUNDLE}"));
    let (result, asked) = taken_with(keep("1"), None, None).await;
    assert_eq!((result, asked), (Ok(()), vec![get.clone()]));
    let (result, asked) = taken_with(keep("2"), None, None).await;
    assert_eq!((result, asked), (Err(Stopped::Noted), vec![get.clone(), SECRETS.to_owned(), STATUS.to_owned()]));
    let (result, asked) = taken_with(keep("2"), Some(bundle("1")), None).await;
    assert_eq!(result, Err(Stopped::Noted), "an earlier plan came no further");
    assert_eq!(asked, [get, SECRETS.to_owned(), get_bundle.clone(), STATUS.to_owned()]);
    let (result, asked) = taken_with(keep("2"), Some(bundle("0")), Some(&tracked::seal(&bundle("0")))).await;
    assert_eq!((result, asked), (Ok(()), vec![get_bundle]), "what was promoted last is kept already");
}

#[tokio::test]
async fn a_secret_that_somebody_planted_is_not_taken_for_what_was_kept() {
    let (result, asked) = taken_with(keep("2"), Some(bundle("0")), None).await;
    assert_eq!(result, Err(Stopped::Conflict(ObjectKey::of(&bundle("0")).unwrap(), "exists".to_owned())));
    assert!(asked.contains(&format!("DELETE {BUNDLE}")), "{asked:?}");
    let mut theirs = bundle("1");
    theirs["metadata"]["ownerReferences"] =
        json!([{"kind": "Deployment", "name": "web", "uid": "w", "controller": true}]);
    let (result, asked) = taken_with(keep("2"), Some(theirs), None).await;
    assert_eq!(result, Ok(()), "it is said, and the promotion goes on");
    assert!(!asked.iter().any(|one| one.starts_with("DELETE") || one == STATUS), "{asked:?}");
}

#[tokio::test]
async fn configs_that_were_kept_are_put_back_and_no_others() {
    let restore = || Step::RestoreConfigs(ObjectKey::new(Kind::Secret, "test", "podinfo-promoted-configs"));
    let put = |asked: &[String]| asked.iter().filter(|one| !one.starts_with("GET")).cloned().collect::<Vec<_>>();
    let seal = tracked::seal(&bundle("0"));
    let (result, asked) = taken_with(restore(), Some(bundle("0")), Some(&seal)).await;
    assert_eq!((result, put(&asked)), (Ok(()), vec![format!("PUT {COPY}")]));
    let mut free = bundle("0");
    free["metadata"]["ownerReferences"] = Value::Null;
    for (secret, noted) in [(bundle("0"), None), (bundle("2"), Some(seal.as_str())), (free, Some(seal.as_str()))] {
        let (result, asked) = taken_with(restore(), Some(secret), noted).await;
        let events = vec!["POST /api/v1/namespaces/test/events".to_owned()];
        assert_eq!((result, put(&asked)), (Ok(()), events), "it is said, and nothing is held up");
    }
}

fn kept() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "ControllerRevision", "data": {"template": {"a": 1}},
           "metadata": {"name": "podinfo-b1-0", "namespace": "test", "uid": "k", "ownerReferences": [owner()]}})
}

const KEPT: &str = "/apis/apps/v1/namespaces/test/controllerrevisions/podinfo-b1-0";

/// Keeps a template where this is there already. Answers what was written.
async fn kept_over(seen: Value) -> (Result<(), Stopped>, Vec<String>) {
    let is_deleted = AtomicBool::new(false);
    let fake = Fake::start(move |request| match request.method.as_str() {
        "POST" if request.path.contains("/events") || is_deleted.load(Ordering::Relaxed) => object(&request.body),
        "POST" => failure(409, "exists"),
        "DELETE" => {
            is_deleted.store(true, Ordering::Relaxed);
            object(&json!({}))
        }
        _ => object(&seen),
    })
    .await;
    let result = act(&fake.operator(), &mut context(), vec![Step::Keep(kept())]).await;
    (result, asked(&fake).split_off(1))
}

#[tokio::test]
async fn a_template_is_kept_already_only_if_it_is_the_canarys_and_the_same() {
    let get = format!("GET {KEPT}");
    assert_eq!(kept_over(kept()).await, (Ok(()), vec![get.clone()]));
    let mut other = kept();
    other["data"]["template"]["a"] = json!(2);
    let create = "POST /apis/apps/v1/namespaces/test/controllerrevisions".to_owned();
    let anew = vec![get.clone(), format!("DELETE {KEPT}"), create];
    assert_eq!(kept_over(other).await, (Ok(()), anew.clone()));
    let mut free = kept();
    free["metadata"]["ownerReferences"] = Value::Null;
    assert_eq!(kept_over(free.clone()).await, (Ok(()), anew), "it was orphaned");
    free["data"]["template"]["a"] = json!(2);
    let events = "POST /api/v1/namespaces/test/events".to_owned();
    assert_eq!(kept_over(free).await, (Ok(()), vec![get, events]), "it is said, and nothing is held up");
}

/// Drops a kept template after these steps. Answers what was asked.
async fn dropped_after(mut steps: Vec<Step>, code: u16) -> (Result<(), Stopped>, Vec<Seen>) {
    let fake = Fake::start(move |request| match request.method.as_str() {
        "DELETE" if code >= 400 => failure(code, "no"),
        "GET" => object(&kept()),
        _ => object(&request.body),
    })
    .await;
    steps.push(Step::Drop(ObjectKey::of(&kept()).unwrap()));
    let result = act(&fake.operator(), &mut context(), steps).await;
    (result, fake.seen())
}

#[tokio::test]
async fn what_was_kept_is_dropped_only_if_it_is_the_canarys_and_still_the_same() {
    let exact = json!({"propagationPolicy": "Background", "preconditions": {"uid": "k"}});
    let deletion = || seen("DELETE", KEPT, "application/json", exact.clone());
    for code in [200, 404] {
        let (result, mut asked) = dropped_after(vec![], code).await;
        assert_eq!((result, asked.len(), asked.pop()), (Ok(()), 2, Some(deletion())), "nobody knows its uid");
    }
    let (result, mut asked) = dropped_after(vec![Step::Keep(kept())], 409).await;
    let conflict = Stopped::Conflict(ObjectKey::of(&kept()).unwrap(), "no".to_owned());
    assert_eq!((result, asked.len(), asked.pop()), (Err(conflict), 2, Some(deletion())));
}

#[tokio::test]
async fn what_leaves_the_bounds_of_the_canary_is_refused_and_said_and_nothing_is_asked_for_it() {
    let mut elsewhere = service();
    elsewhere["metadata"]["namespace"] = json!("kube-system");
    let text = "Service podinfo.kube-system is not written for canary podinfo.test: its kind and name do not follow from \
                the spec";
    for step in [Step::Create(elsewhere.clone()), Step::Replace(elsewhere)] {
        let fake = Fake::start(|request| object(&request.body)).await;
        let result = act(&fake.operator(), &mut context(), vec![step]).await;
        assert_eq!((result, fake.seen()), (Err(Stopped::Failed(text.to_owned())), vec![]));
    }
}
