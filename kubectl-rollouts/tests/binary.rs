//! The program itself, over HTTP: connection flags, names, exit codes, streams.

// Lints for outside data do not apply to the objects a test makes.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Output;

use serde_json::Value;
use simulator::Serving;
use support::Desk;
use tokio::process::Command;

const PAUSED: &str = "canary-nginx-background-analysis";

/// A served cluster, its kubeconfig, and a folder for what the test makes.
struct Place {
    desk: Desk,
    address: SocketAddr,
    folder: tempfile::TempDir,
    _serving: Serving,
}

impl Place {
    async fn of(name: &str) -> Self {
        let desk = Desk::of(name);
        let (address, serving) = desk.cluster.serve_http("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config"), desk.cluster.kubeconfig(address)).unwrap();
        Self { desk, address, folder, _serving: serving }
    }

    fn kubeconfig(&self) -> String {
        self.folder.path().join("config").display().to_string()
    }
}

/// Runs the program in an environment without a cluster of its own.
async fn run(program: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("HOME", "/nonexistent").envs(environment.iter().copied());
    command.output().await.unwrap()
}

async fn ours(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    run(Path::new(env!("CARGO_BIN_EXE_kubectl-rollouts")), arguments, environment).await
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_name_the_cluster_leads_there() {
    let place = Place::of(PAUSED).await;
    let (config, server) = (place.kubeconfig(), format!("http://{}", place.address));
    let bare = place.address.to_string();
    let ask = ["-n", PAUSED, "status", "web", "-w=false"];
    let with = |more: &[&str]| -> Vec<String> { more.iter().chain(&ask).map(ToString::to_string).collect() };
    let ways = [
        (with(&["--kubeconfig", &config]), vec![]),
        (with(&[]), vec![("KUBECONFIG", config.as_str())]),
        (with(&["-s", &server]), vec![]),
        (with(&["--server", &bare]), vec![]),
        (with(&["-s", &server, "--token", "secret", "--as", "jane", "--as-group", "dev"]), vec![]),
        (with(&["--kubeconfig", &config, "--request-timeout", "5s"]), vec![]),
    ];
    for (arguments, environment) in ways {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = ours(&arguments, &environment).await;
        assert_eq!(text(&output.stdout), "Paused - CanaryPauseStep\n", "{arguments:?}: {}", text(&output.stderr));
        assert!(output.status.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_and_streams_are_those_of_a_good_citizen() {
    let place = Place::of("canary-nginx-aborted").await;
    let config = place.kubeconfig();
    let ask = async |arguments: &[&str]| {
        let output = ours(&[&["--kubeconfig", &config, "-n", "canary-nginx-aborted"], arguments].concat(), &[]).await;
        (output.status.code().unwrap(), text(&output.stdout).to_owned(), text(&output.stderr).to_owned())
    };
    let (code, out, err) = ask(&["status", "web"]).await;
    assert_eq!(code, 1);
    assert!(out.starts_with("Degraded - RolloutAborted: "), "{out}");
    assert!(err.starts_with("Error: the rollout is in a degraded state with message: RolloutAborted"), "{err}");

    let (code, out, err) = ask(&["retry", "rollout", "web"]).await;
    assert_eq!((code, out.as_str(), err.as_str()), (0, "rollout 'web' retried\n", ""));
    assert_eq!(place.desk.rollout()["status"]["abort"], false);

    let (code, out, err) = ask(&["get", "rollout", "missing"]).await;
    assert_eq!((code, out.as_str()), (1, ""));
    assert_eq!(err, "Error: rollouts.argoproj.io \"missing\" not found in namespace \"canary-nginx-aborted\"\n");

    let (code, out, _) = ask(&["get", "rollout", "web"]).await;
    assert_eq!(code, 0);
    assert!(!out.contains('\u{1b}'), "no colours in a pipe");

    let (code, _, err) = ask(&["pause"]).await;
    assert_eq!(code, 1);
    assert!(err.contains("Usage: kubectl rollouts pause"), "{err}");
    let (code, out, _) = ask(&["--help"]).await;
    assert_eq!(code, 0);
    assert!(out.contains("promote"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_cannot_be_had_is_told() {
    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = format!("http://{free}");
    let output = ours(&["-s", &server, "list", "rollouts"], &[]).await;
    assert_eq!(output.status.code(), Some(1));
    let expected = format!("Error: could not reach the API server at {server}: ");
    assert!(text(&output.stderr).starts_with(&expected), "{}", text(&output.stderr));

    for (arguments, message) in [
        (
            vec!["list", "rollouts"],
            "no cluster chosen: set a current context in the kubeconfig, or use --context or --server",
        ),
        (vec!["--kubeconfig", "/nonexistent", "list", "rollouts"], "could not use the kubeconfig: "),
        (vec!["--context", "prod", "list", "rollouts"], "context \"prod\" does not exist"),
        (
            vec!["-s", "https://h", "--insecure-skip-tls-verify", "--certificate-authority", "x", "list", "rollouts"],
            "--certificate-authority and --insecure-skip-tls-verify exclude each other",
        ),
    ] {
        let output = ours(&arguments, &[]).await;
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let told = text(&output.stderr);
        assert!(told.starts_with(&format!("Error: {message}")), "{arguments:?}: {told}");
    }
}

#[tokio::test]
async fn it_answers_to_both_names() {
    let folder = tempfile::tempdir().unwrap();
    let argo = folder.path().join("kubectl-argo-rollouts");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_kubectl-rollouts"), &argo).unwrap();
    let version = concat!("v", env!("CARGO_PKG_VERSION"));

    let output = run(&argo, &["version", "--short"], &[]).await;
    assert_eq!(text(&output.stdout), format!("kubectl-argo-rollouts: {version}\n"));
    let output = ours(&["version"], &[]).await;
    assert!(text(&output.stdout).starts_with(&format!("kubectl-rollouts: {version}\n  GitCommit: ")));
    let output = ours(&["version", "-o", "json"], &[]).await;
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["clientVersion"]["version"], version);

    for shell in ["bash", "zsh", "fish", "powershell"] {
        let output = run(&argo, &["completion", shell], &[]).await;
        let script = text(&output.stdout);
        assert!(output.status.success() && script.contains("kubectl-argo-rollouts"), "{shell}");
        assert!(script.contains("promote"), "{shell}");
    }
}
