//! A Gateway of the small world: it takes in what a route says, sooner or later, and tells so in the route's status.

use serde_json::{Value, json};

use super::World;

impl World {
    /// The Gateway takes in every route as it is now. Whether there was anything new.
    pub fn accept(&mut self) -> bool {
        let mut changed = false;
        for (reference, route) in self.seen.routes.iter_mut().filter(|(reference, _)| reference.kind == "HTTPRoute") {
            let condition = |kind: &str| json!({ "type": kind, "status": "True", "observedGeneration": route["metadata"]["generation"] });
            let parents = json!([{ "parentRef": { "name": "edge" }, "conditions": [condition("Accepted"), condition("ResolvedRefs")] }]);
            if route["status"]["parents"] != parents {
                route["status"]["parents"] = parents;
                changed = true;
            }
            self.accepted.insert(reference.clone(), route.clone());
        }
        changed
    }

    /// The canary's weight as any request may meet it: the least and the most of what is written and what the Gateway has taken in.
    pub fn weights_met(&self) -> (u32, u32) {
        let written = self.weight().unwrap_or(0);
        if self.accepted.is_empty() {
            return (written, written);
        }
        let taken = self.weight_by(&self.accepted).unwrap_or(0);
        (written.min(taken), written.max(taken))
    }
}

/// The HTTPRoute of a Rollout whose canary strategy has `gateway: true`.
pub fn http_route() -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": { "name": "web", "uid": "http-route", "generation": 1 },
        "spec": { "parentRefs": [{ "name": "edge" }], "rules": [{ "backendRefs": [
            { "name": "web-stable", "port": 80, "weight": 100 }, { "name": "web-canary", "port": 80, "weight": 0 },
        ] }] },
    })
}
