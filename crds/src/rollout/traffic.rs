//! How shares of requests are routed: one struct for each traffic router.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::RawObject;

/// The traffic routers to use. More than one may be set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrafficRouting {
    /// Istio VirtualServices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub istio: Option<IstioTrafficRouting>,
    /// A canary Ingress of ingress-nginx, or of a controller which understands its annotations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nginx: Option<NginxTrafficRouting>,
    /// Routes of the Gateway API.
    #[serde(rename = "gatewayAPI", skip_serializing_if = "Option::is_none")]
    pub gateway_api: Option<GatewayApiTrafficRouting>,
    /// The action annotation of an AWS load balancer Ingress.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alb: Option<AlbTrafficRouting>,
    /// A TrafficSplit of the Service Mesh Interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smi: Option<SmiTrafficRouting>,
    /// Mappings of Ambassador (Emissary).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ambassador: Option<AmbassadorTrafficRouting>,
    /// VirtualRouters of AWS App Mesh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_mesh: Option<AppMeshTrafficRouting>,
    /// A weighted TraefikService.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traefik: Option<TraefikTrafficRouting>,
    /// An ApisixRoute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apisix: Option<ApisixTrafficRouting>,
    /// Settings of traffic router plugins, by plugin name, for example argoproj-labs/gatewayAPI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugins: Option<RawObject>,
    /// Names of the routes which setHeaderRoute and setMirrorRoute make, in order of precedence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed_routes: Option<Vec<ManagedRoute>>,
    /// The weight that stands for all traffic. Only for nginx and plugins. Default: 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_traffic_weight: Option<i32>,
}

/// A route which the controller makes and removes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManagedRoute {
    /// Name of the route.
    pub name: String,
}

/// Stable Ingresses; the controller keeps a canary Ingress beside each.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NginxTrafficRouting {
    /// Prefix of the annotations which the ingress controller reads. Default: nginx.ingress.kubernetes.io.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotation_prefix: Option<String>,
    /// Name of the Ingress which routes to the stable service. Either this or stableIngresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stable_ingress: Option<String>,
    /// Names of several Ingresses which route to the stable service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stable_ingresses: Option<Vec<String>>,
    /// Annotations to add to the canary Ingress; the prefix is put before each name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub additional_ingress_annotations: Option<BTreeMap<String, String>>,
    /// Annotations to add to the canary Ingress as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary_ingress_annotations: Option<BTreeMap<String, String>>,
}

/// Istio objects whose weights or subsets are changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IstioTrafficRouting {
    /// The VirtualService. Either this or virtualServices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_service: Option<IstioVirtualService>,
    /// Several VirtualServices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_services: Option<Vec<IstioVirtualService>>,
    /// The DestinationRule, when versions are told apart by subset and not by host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_rule: Option<IstioDestinationRule>,
}

/// A VirtualService and which of its routes to change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IstioVirtualService {
    /// Name, or name.namespace, of the VirtualService.
    pub name: String,
    /// Names of the HTTP routes. May be absent when there is only one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routes: Option<Vec<String>>,
    /// TLS routes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_routes: Option<Vec<TlsRoute>>,
    /// TCP routes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp_routes: Option<Vec<TcpRoute>>,
}

/// A TLS route, told by port, SNI hosts or both.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TlsRoute {
    /// Port of the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<i64>,
    /// SNI hosts of the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni_hosts: Option<Vec<String>>,
}

/// A TCP route.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TcpRoute {
    /// Port of the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<i64>,
}

/// A DestinationRule and the names of its subsets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IstioDestinationRule {
    /// Name of the DestinationRule.
    pub name: String,
    /// Subset of the canary version.
    pub canary_subset_name: String,
    /// Subset of the stable version.
    pub stable_subset_name: String,
    /// Subsets which may stand in routes beside the two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub additional_subset_names: Option<Vec<String>>,
}

/// Routes of the Gateway API whose backends are weighted. The settings of the plugin argoproj-labs/gatewayAPI are these as well.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayApiTrafficRouting {
    /// Name of an HTTPRoute. Header routes are added to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_route: Option<String>,
    /// Name of a GRPCRoute. Header routes are added to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc_route: Option<String>,
    /// Name of a TCPRoute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp_route: Option<String>,
    /// Name of a TLSRoute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_route: Option<String>,
    /// Several HTTPRoutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_routes: Option<Vec<GatewayApiRoute>>,
    /// Several GRPCRoutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc_routes: Option<Vec<GatewayApiRoute>>,
    /// Several TCPRoutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp_routes: Option<Vec<GatewayApiRoute>>,
    /// Several TLSRoutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_routes: Option<Vec<GatewayApiRoute>>,
    /// Every HTTPRoute of the namespace with these labels. Header routes are added to them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_route_selector: Option<LabelSelector>,
    /// Every GRPCRoute of the namespace with these labels. Header routes are added to them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc_route_selector: Option<LabelSelector>,
    /// Every TCPRoute of the namespace with these labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp_route_selector: Option<LabelSelector>,
    /// Every TLSRoute of the namespace with these labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_route_selector: Option<LabelSelector>,
    /// Namespace of the routes. Default: that of the Rollout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Leave out the label which routes have during a release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable_in_progress_label: Option<bool>,
    /// Key of that label. Default: rollouts.argoproj.io/gatewayapi-canary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_progress_label_key: Option<String>,
    /// Value of that label. Default: in-progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_progress_label_value: Option<String>,
}

/// A route of the Gateway API.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayApiRoute {
    /// Name of the route.
    pub name: String,
    /// Whether header and mirror routes are added to it. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub use_header_routes: Option<bool>,
}

/// Name under which the plugin for the Gateway API is configured.
pub const GATEWAY_API_PLUGIN: &str = "argoproj-labs/gatewayAPI";

impl TrafficRouting {
    /// Whether the Gateway API is asked for, in either way.
    pub fn has_gateway(&self) -> bool {
        self.gateway_api.is_some() || self.gateway_plugin().is_some()
    }

    fn gateway_plugin(&self) -> Option<&serde_json::Value> {
        self.plugins.as_ref().and_then(|plugins| plugins.get(GATEWAY_API_PLUGIN))
    }

    /// The settings for the Gateway API: its own, or those written for the plugin.
    ///
    /// # Errors
    /// Why the plugin's settings cannot be read.
    pub fn gateway(&self) -> Result<Option<GatewayApiTrafficRouting>, String> {
        if let Some(config) = &self.gateway_api {
            return Ok(Some(config.clone()));
        }
        let config = self.gateway_plugin().map(GatewayApiTrafficRouting::deserialize);
        config.transpose().map_err(|error| error.to_string())
    }
}

/// An Ingress of the AWS load balancer controller.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlbTrafficRouting {
    /// Name of the Ingress. Either this or ingresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingress: Option<String>,
    /// Names of several Ingresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingresses: Option<Vec<String>>,
    /// Port of the services which the action forwards to.
    pub service_port: i32,
    /// Service under whose name the action is written. Default: the stable service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_service: Option<String>,
    /// Prefix of the annotations which the load balancer controller reads. Default: alb.ingress.kubernetes.io.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotation_prefix: Option<String>,
    /// Keep a client on the same version for some time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stickiness_config: Option<StickinessConfig>,
}

/// Stickiness of the target groups.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StickinessConfig {
    /// Whether clients stick.
    pub enabled: bool,
    /// How long, in seconds, 1 to 604800.
    pub duration_seconds: i64,
}

/// The TrafficSplit to make.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SmiTrafficRouting {
    /// Service which clients use. Default: the stable service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_service: Option<String>,
    /// Name of the TrafficSplit. Default: the name of the Rollout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic_split_name: Option<String>,
}

/// The Mappings to split.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AmbassadorTrafficRouting {
    /// Names of the Mappings which route to the stable service.
    pub mappings: Vec<String>,
}

/// App Mesh objects whose weights are changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppMeshTrafficRouting {
    /// The VirtualService, through which the VirtualRouter is found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_service: Option<AppMeshVirtualService>,
    /// The two VirtualNodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_node_group: Option<AppMeshVirtualNodeGroup>,
}

/// A VirtualService and which routes of its VirtualRouter to change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppMeshVirtualService {
    /// Name of the VirtualService.
    pub name: String,
    /// Names of the routes. May be absent when there is only one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routes: Option<Vec<String>>,
}

/// The VirtualNodes of the two versions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppMeshVirtualNodeGroup {
    /// VirtualNode of the canary version.
    pub canary_virtual_node_ref: AppMeshVirtualNodeReference,
    /// VirtualNode of the stable version.
    pub stable_virtual_node_ref: AppMeshVirtualNodeReference,
}

/// A VirtualNode of the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppMeshVirtualNodeReference {
    /// Name of the VirtualNode.
    pub name: String,
}

/// The TraefikService to change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TraefikTrafficRouting {
    /// Name of the weighted TraefikService.
    pub weighted_traefik_service_name: String,
}

/// The ApisixRoute to change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApisixTrafficRouting {
    /// The route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<ApisixRoute>,
}

/// An ApisixRoute and which of its rules to change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApisixRoute {
    /// Name of the ApisixRoute.
    pub name: String,
    /// Names of the HTTP rules. May be absent when there is only one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<Vec<String>>,
}
