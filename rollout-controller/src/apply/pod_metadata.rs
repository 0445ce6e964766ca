//! Labels and annotations of live pods, for as long as their version has a role.

use crds::LabelSelector;
use crds::k8s_openapi::api::core::v1::Pod;
use crds::kube::api::{Api, ListParams};
use crds::kube::core::Selector;
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use strategy::Target;

use super::{Outcome, Writer, merge};

/// How many pods are patched at a time.
const AT_A_TIME: usize = 10;

impl Writer {
    /// Patches the pods that this ReplicaSet controls and that are not yet as the patch says. Pods that go meanwhile are no failure.
    pub async fn patch_pods(
        &self,
        namespace: &str,
        set: &Target,
        selector: &LabelSelector,
        patch: &Value,
    ) -> Outcome<()> {
        let api: Api<Pod> = self.api(namespace);
        let selector = match Selector::try_from(selector.clone()) {
            Ok(selector) => selector,
            Err(error) => return Outcome::Refused(format!("failed to list Pods: {error}")),
        };
        let listed = api.list(&ListParams::default().labels_from(&selector)).await;
        let pods = match Outcome::from_answer("list", "Pod", listed) {
            Outcome::Applied(pods) => pods.items,
            Outcome::LookAgain(problem) => return Outcome::LookAgain(problem),
            Outcome::Refused(problem) => return Outcome::Refused(problem),
            Outcome::Unavailable(problem) => return Outcome::Unavailable(problem),
        };
        let todo = pods.into_iter().filter(|pod| belongs(pod, &set.uid) && differs(pod, patch)).map(|pod| {
            let meta = pod.metadata;
            let patch = merge::with_preconditions(patch.clone(), meta.uid.as_deref(), None);
            let api = api.clone();
            async move { self.patch(&api, "Pod", &meta.name.unwrap_or_default(), &patch).await.map(|_| ()) }
        });
        let outcomes: Vec<Outcome<()>> = stream::iter(todo).buffer_unordered(AT_A_TIME).collect().await;
        let worst =
            outcomes.into_iter().find(|outcome| !matches!(outcome, Outcome::Applied(()) | Outcome::LookAgain(_)));
        worst.unwrap_or(Outcome::Applied(()))
    }
}

fn belongs(pod: &Pod, uid: &str) -> bool {
    let owners = pod.metadata.owner_references.iter().flatten();
    pod.metadata.deletion_timestamp.is_none()
        && owners.into_iter().any(|owner| owner.controller == Some(true) && owner.uid == uid)
}

fn differs(pod: &Pod, patch: &Value) -> bool {
    let before = json!({ "metadata": { "labels": pod.metadata.labels, "annotations": pod.metadata.annotations } });
    let fields = patch.pointer("/metadata").and_then(Value::as_object).into_iter().flatten();
    fields.flat_map(|(field, entries)| entries.as_object().into_iter().flatten().map(move |entry| (field, entry))).any(
        |(field, (key, value))| {
            let present = before.get("metadata").and_then(|meta| meta.get(field)).and_then(|entries| entries.get(key));
            present.unwrap_or(&Value::Null) != value
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pods_that_differ_are_patched() {
        let pod: Pod =
            serde_json::from_value(json!({ "metadata": { "labels": { "app": "web", "role": "active" } } })).unwrap();
        for (patch, expected) in [
            (json!({ "metadata": { "labels": { "role": "active" }, "annotations": {} } }), false),
            (json!({ "metadata": { "labels": { "role": "preview" } } }), true),
            (json!({ "metadata": { "labels": { "role": null } } }), true),
            (json!({ "metadata": { "labels": { "team": null }, "annotations": { "team": null } } }), false),
            (json!({ "metadata": { "annotations": { "team": "a" } } }), true),
        ] {
            assert_eq!(differs(&pod, &patch), expected, "{patch}");
        }
    }
}
