//! `deploy/` as the README says to install it: it applies, applies again, and a controller with the rights, the arguments and the
//! environment of its Deployment takes the lease and works.

// Helpers of tests fail by panicking, too.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use cluster_tests::crds::k8s_openapi::api::apps::v1::Deployment;
use cluster_tests::crds::k8s_openapi::api::authentication::v1::TokenRequest;
use cluster_tests::crds::k8s_openapi::api::coordination::v1::Lease;
use cluster_tests::crds::k8s_openapi::api::core::v1::{Service, ServiceAccount};
use cluster_tests::crds::kube::Api;
use cluster_tests::crds::kube::api::{DeleteParams, PostParams};
use cluster_tests::{Cluster, Namespace, User, wait_for};
use serde_json::Value;

const NAMESPACE: &str = "argo-rollouts";
const DEADLINE: Duration = Duration::from_mins(1);

/// `kubectl apply -f FOLDER`; on a machine without kubectl the same files in the same order.
async fn apply(cluster: &Cluster, ns: &Namespace, folder: &Path) {
    let mut kubectl = Command::new("kubectl");
    kubectl.arg("apply").arg("-f").arg(folder).env("KUBECONFIG", cluster.kubeconfig(User::Admin));
    match kubectl.output() {
        Ok(output) => {
            let said =
                format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(output.status.success(), "kubectl apply -f {}: {said}", folder.display());
        }
        Err(error) => {
            eprintln!("no kubectl here ({error}): the files are applied one by one");
            let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
            files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
            files.sort();
            for file in files {
                ns.apply(&fs::read_to_string(file).unwrap()).await;
            }
        }
    }
}

/// A kubeconfig with a token of the controller's ServiceAccount.
async fn as_service_account(cluster: &Cluster, ns: &Namespace, folder: &Path) -> PathBuf {
    let accounts: Api<ServiceAccount> = Api::namespaced(ns.client().clone(), NAMESPACE);
    let request = TokenRequest::default();
    let answer = accounts.create_token_request("rollout-controller", &PostParams::default(), &request).await.unwrap();
    let mut config: Value = serde_json::from_slice(&fs::read(cluster.kubeconfig(User::Admin)).unwrap()).unwrap();
    config["users"][0]["user"] = serde_json::json!({"token": answer.status.unwrap().token});
    let path = folder.join("service-account.kubeconfig");
    fs::write(&path, config.to_string()).unwrap();
    path
}

#[tokio::test]
async fn the_manifests_install_a_controller_that_works() {
    let cluster = Cluster::shared().await;
    if !cluster.pods_answer("the manifests of deploy/") {
        return;
    }
    let ns = cluster.fast_namespace("deploy").await;
    let deploy = cluster_tests::repository().join("deploy");
    for _ in 0..2 {
        apply(cluster, &ns, &deploy.join("crds")).await;
        apply(cluster, &ns, &deploy).await;
    }
    let deployments: Api<Deployment> = Api::namespaced(ns.client().clone(), NAMESPACE);
    let deployment = wait_for(&deployments, "rollout-controller", "two replicas", DEADLINE, |deployment| {
        deployment.status.as_ref().and_then(|status| status.available_replicas) == Some(2)
    })
    .await;
    let pod = deployment.spec.unwrap().template.spec.unwrap();
    assert_eq!(pod.service_account_name.as_deref(), Some("rollout-controller"));
    let container = pod.containers.into_iter().next().unwrap();
    let names: Vec<_> = container.env.iter().flatten().map(|variable| variable.name.as_str()).collect();
    assert_eq!(names, ["POD_NAMESPACE"], "this test gives the controller that variable only");

    let scratch = tempfile::tempdir().unwrap();
    let kubeconfig = as_service_account(cluster, &ns, scratch.path()).await;
    let mut arguments = container.args.unwrap_or_default();
    // One network for all here: ports are chosen by the system, and the namespace comes by flag.
    arguments.extend(["--metricsport=0".to_owned(), "--healthzPort=0".to_owned()]);
    arguments.extend(["--leader-election-namespace".to_owned(), NAMESPACE.to_owned()]);
    arguments.extend(["--kubeconfig".to_owned(), kubeconfig.display().to_string()]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let program = cluster_tests::binary("rollout-controller", "rollout-controller").unwrap();
    let mut controller = cluster.spawn(&program, &arguments, User::Kubectl, "deployed").unwrap();

    ns.apply(&cluster_tests::surroundings(&ns)).await;
    ns.apply(&cluster_tests::manifest(1, "good", "      steps: [{setWeight: 20}, {pause: {}}]")).await;
    let release = cluster_tests::Release::without_controller(cluster, ns);
    release.healthy().await;
    if let Some(status) = controller.ended().unwrap() {
        panic!("the controller ended ({status}):\n{}", controller.log());
    }
    let leases: Api<Lease> = Api::namespaced(release.ns.client().clone(), NAMESPACE);
    let lease = leases.get("argo-rollouts-controller-lock").await.unwrap();
    assert!(lease.spec.and_then(|spec| spec.holder_identity).is_some_and(|holder| !holder.is_empty()));
    let log = controller.log();
    assert!(!log.contains("forbidden") && !log.contains("Forbidden"), "{log}");
    controller.terminate(DEADLINE).await.unwrap();

    // Rights, definitions and the namespace belong to the whole cluster and stay.
    deployments.delete("rollout-controller", &DeleteParams::background()).await.unwrap();
    let services: Api<Service> = Api::namespaced(release.ns.client().clone(), NAMESPACE);
    services.delete("rollout-controller-metrics", &DeleteParams::background()).await.unwrap();
}
