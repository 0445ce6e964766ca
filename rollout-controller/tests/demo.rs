//! The demo in virtual time: three releases, three ends, and the program that shows them.

use std::process::Command;

use rollout_controller::demo;

#[tokio::test(start_paused = true)]
async fn one_is_promoted_one_is_aborted_one_waits() {
    let summary = demo::fast().await.unwrap();
    let names: Vec<_> = summary.0.iter().map(|ending| ending.name).collect();
    assert_eq!(names, ["good", "bad", "waiting"]);
    assert!(summary.as_promised(), "{summary}");
    let text = summary.to_string();
    for part in ["promoted: everyone gets good-2", "aborted, 0 % get errors-5pct", "waits for a person: 40 %"] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

#[test]
fn the_program_ends_by_itself_with_code_0_and_a_summary() {
    let output = Command::new(env!("CARGO_BIN_EXE_rollout-controller")).args(["demo", "--fast"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(text.lines().filter(|line| line.starts_with('✔')).count(), 3, "{text}");
}
