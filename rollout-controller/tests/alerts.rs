//! The example alert rules, checked by Prometheus' own tool where it is installed.

use std::path::Path;
use std::process::Command;

#[test]
fn the_example_alert_rules_fire_when_they_should() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/alerts/rollouts.test.yaml");
    let output = match Command::new("promtool").arg("test").arg("rules").arg(&rules).output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("skipped: promtool is not installed (Debian: apt install prometheus)");
            return;
        }
        Err(error) => panic!("failed to run promtool: {error}"),
    };
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Every metric that a rule uses is one the controller serves.
#[test]
fn the_rules_use_metrics_that_exist() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/alerts/rollouts.yaml");
    let rules = std::fs::read_to_string(file).unwrap();
    let served = rollout_controller::run::Controller::default().metrics.text();
    let mut used = 0;
    for line in rules.lines().filter(|line| line.trim_start().starts_with("expr:")) {
        let expression = line.split_once("expr:").map_or("", |(_, expression)| expression);
        let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        for metric in
            words.filter(|word| ["rollout_", "analysis_", "controller_"].iter().any(|prefix| word.starts_with(prefix)))
        {
            used += 1;
            assert!(served.contains(&format!("# TYPE {metric} ")), "{metric} is not served");
        }
    }
    assert!(used >= 4, "the expressions were not found");
}
