//! Services as a Rollout uses them: which it names, whose one is, which version it selects, and how it is given back.

use crds::Rollout;
use crds::k8s_openapi::api::core::v1::Service;
use crds::words::{MANAGED_BY_ANNOTATION, POD_TEMPLATE_HASH_LABEL};
use serde_json::json;

use crate::{Action, Target};

/// The Services a Rollout names, whatever its strategy.
pub fn named(rollout: &Rollout) -> impl Iterator<Item = &str> {
    let canary = rollout.canary().into_iter().flat_map(|canary| {
        let pair = canary.ping_pong.iter().flat_map(|pair| [&pair.ping_service, &pair.pong_service]);
        [&canary.stable_service, &canary.canary_service].into_iter().flatten().chain(pair)
    });
    let blue_green = rollout
        .blue_green()
        .into_iter()
        .flat_map(|strategy| [Some(&strategy.active_service), strategy.preview_service.as_ref()].into_iter().flatten());
    canary.chain(blue_green).map(String::as_str).filter(|name| !name.is_empty())
}

/// The Rollout that moves a Service.
pub fn managed_by(service: &Service) -> Option<&str> {
    service.metadata.annotations.as_ref()?.get(MANAGED_BY_ANNOTATION).map(String::as_str)
}

/// The version a Service selects.
pub fn selected(service: &Service) -> Option<&str> {
    service.spec.as_ref()?.selector.as_ref()?.get(POD_TEMPLATE_HASH_LABEL).map(String::as_str)
}

/// Gives a Service back: it selects what its user wrote, and is nobody's.
pub fn let_go(service: &Service) -> Action {
    let target = Target {
        name: service.metadata.name.clone().unwrap_or_default(),
        uid: service.metadata.uid.clone().unwrap_or_default(),
        resource_version: None,
    };
    let patch = json!({
        "metadata": { "annotations": { MANAGED_BY_ANNOTATION: null } },
        "spec": { "selector": { POD_TEMPLATE_HASH_LABEL: null } },
    });
    Action::PatchService { target, patch }
}
