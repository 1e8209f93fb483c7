//! Whose metrics the builtin queries read. Only the names are here.

/// Whose metrics the builtin queries read (contract: routers §0, third column).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observer {
    /// Istio telemetry of the destination's proxy; also for every provider that nobody knows.
    Istio,
    /// Linkerd proxies.
    Linkerd,
    /// The application's own `http_request_duration_seconds` (provider `kubernetes`, Gateway API).
    Http,
    /// The NGINX ingress controller.
    Nginx,
    /// Envoy in App Mesh.
    AppMesh,
    /// Envoy in Contour.
    Contour,
    /// Envoy in Gloo.
    Gloo,
    /// Envoy in Kuma.
    Kuma,
    /// Envoy in front of Knative.
    Knative,
    /// Open Service Mesh.
    Osm,
    /// Traefik.
    Traefik,
    /// Skipper.
    Skipper,
    /// APISIX.
    Apisix,
}

impl Observer {
    /// Every observer, in the order of the contract's table.
    pub const ALL: [Self; 13] = [
        Self::Istio,
        Self::Linkerd,
        Self::Http,
        Self::Nginx,
        Self::AppMesh,
        Self::Contour,
        Self::Gloo,
        Self::Kuma,
        Self::Knative,
        Self::Osm,
        Self::Traefik,
        Self::Skipper,
        Self::Apisix,
    ];

    /// The name by which the contract's table lists it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Istio => "istio",
            Self::Linkerd => "linkerd",
            Self::Http => "http",
            Self::Nginx => "nginx",
            Self::AppMesh => "appmesh",
            Self::Contour => "contour",
            Self::Gloo => "gloo",
            Self::Kuma => "kuma",
            Self::Knative => "knative",
            Self::Osm => "osm",
            Self::Traefik => "traefik",
            Self::Skipper => "skipper",
            Self::Apisix => "apisix",
        }
    }
}
