//! Session affinity: the cookies that keep a visitor on one version (contract: lifecycle §12). It knows no mesh.

use burgee_api::{CanaryStatus, SessionAffinity};
use sha2::{Digest, Sha256};

use crate::rollout::Rollout;

/// A cookie as `name=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookie {
    name: String,
    value: String,
}

impl Cookie {
    /// The cookie that a status field holds; none if it is empty or has no name or value.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, value) = text.split_once('=').filter(|(name, value)| !name.is_empty() && !value.is_empty())?;
        Some(Self { name: name.to_owned(), value: value.to_owned() })
    }

    /// `name=value`, as in the status.
    pub fn text(&self) -> String {
        format!("{}={}", self.name, self.value)
    }

    /// The regular expression that a request's `Cookie` header matches.
    pub fn regex(&self) -> String {
        format!(".*{}.*{}.*", self.name, self.value)
    }

    /// The `Set-Cookie` header that makes a browser forget it.
    pub fn expiry(&self) -> String {
        format!("{}; Max-Age=-1", self.text())
    }

    /// The `Set-Cookie` header that makes a browser keep it.
    pub fn header(&self, affinity: &SessionAffinity, max_age_seconds: i64) -> String {
        let mut header = format!("{}; Max-Age={max_age_seconds}", self.text());
        let mut add = |attribute: String| {
            header.push_str("; ");
            header.push_str(&attribute);
        };
        affinity.domain.iter().filter(|text| !text.is_empty()).for_each(|domain| add(format!("Domain={domain}")));
        if affinity.http_only {
            add("HttpOnly".to_owned());
        }
        if affinity.partitioned {
            add("Partitioned".to_owned());
        }
        affinity.path.iter().filter(|text| !text.is_empty()).for_each(|path| add(format!("Path={path}")));
        affinity.same_site.iter().filter(|text| !text.is_empty()).for_each(|site| add(format!("SameSite={site}")));
        if affinity.secure {
            add("Secure".to_owned());
        }
        header
    }
}

/// The canary's cookie of this run: the one in the status, else one made from the run's revision. A value that can be
/// made again needs no write before the route, and a crash between the two cannot lose it; in the peer it is random.
pub fn canary_cookie(rollout: &Rollout, status: &CanaryStatus) -> Option<Cookie> {
    let affinity = affinity(rollout)?;
    Cookie::parse(&status.session_affinity_cookie)
        .filter(|cookie| cookie.name == affinity.cookie_name)
        .or_else(|| Some(made(rollout, &affinity.cookie_name, status)))
}

/// The primary's cookie, if one is wanted.
pub fn primary_cookie(rollout: &Rollout, status: &CanaryStatus) -> Option<Cookie> {
    let name = affinity(rollout)?.primary_cookie_name.as_deref().filter(|name| !name.is_empty())?;
    Cookie::parse(&status.primary_session_affinity_cookie)
        .filter(|cookie| cookie.name == name)
        .or_else(|| Some(made(rollout, name, status)))
}

/// The cookie that clients may still hold of a run that has ended.
pub fn stale_cookie(rollout: &Rollout, status: &CanaryStatus) -> Option<Cookie> {
    affinity(rollout)?;
    Cookie::parse(&status.session_affinity_cookie).or_else(|| Cookie::parse(&status.previous_session_affinity_cookie))
}

/// What the canary says about cookies.
pub fn affinity(rollout: &Rollout) -> Option<&SessionAffinity> {
    rollout.analysis.as_ref()?.session_affinity.as_ref().filter(|affinity| !affinity.cookie_name.is_empty())
}

fn made(rollout: &Rollout, name: &str, status: &CanaryStatus) -> Cookie {
    const LETTERS: &[u8; 52] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let run = status.run.clone().unwrap_or_default();
    let source = format!("{}/{name}/{}/{}", rollout.uid, run.revision, status.last_applied_spec);
    let hash = Sha256::digest(source.as_bytes());
    let value = hash.iter().take(10).filter_map(|byte| LETTERS.get(usize::from(*byte) % LETTERS.len()));
    Cookie { name: name.to_owned(), value: value.map(|letter| char::from(*letter)).collect() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixtures;

    fn rollout() -> Rollout {
        let affinity = json!({"cookieName": "flagger-cookie", "primaryCookieName": "primary-cookie"});
        let analysis = json!({"interval": "30s", "threshold": 1, "stepWeight": 10, "sessionAffinity": affinity});
        fixtures::rollout(&json!({ "analysis": analysis }))
    }

    #[test]
    fn a_cookie_is_ten_letters_that_change_with_the_revision() {
        let mut status = CanaryStatus::default();
        let first = canary_cookie(&rollout(), &status).unwrap();
        assert_eq!(first, canary_cookie(&rollout(), &status).unwrap());
        assert_eq!(first.value.len(), 10);
        assert!(first.value.chars().all(|letter| letter.is_ascii_alphabetic()));
        status.last_applied_spec = "b1-2".to_owned();
        assert_ne!(first, canary_cookie(&rollout(), &status).unwrap());
        assert_ne!(first.value, primary_cookie(&rollout(), &status).unwrap().value);
    }

    #[test]
    fn a_cookie_in_the_status_goes_on() {
        let status =
            CanaryStatus { session_affinity_cookie: "flagger-cookie=LpsIaLdoNZ".to_owned(), ..CanaryStatus::default() };
        assert_eq!(canary_cookie(&rollout(), &status).unwrap().text(), "flagger-cookie=LpsIaLdoNZ");
        assert_eq!(stale_cookie(&rollout(), &status).unwrap().expiry(), "flagger-cookie=LpsIaLdoNZ; Max-Age=-1");
    }

    #[test]
    fn attributes_come_in_the_contracts_order() {
        let affinity: SessionAffinity = serde_json::from_value(json!({"cookieName": "a", "domain": "d", "path": "/",
            "httpOnly": true, "partitioned": true, "secure": true, "sameSite": "Lax"}))
        .unwrap();
        let header = Cookie::parse("a=b").unwrap().header(&affinity, 86400);
        let expected = "a=b; Max-Age=86400; Domain=d; HttpOnly; Partitioned; Path=/; SameSite=Lax; Secure";
        assert_eq!(header, expected);
    }
}
