//! The files of `tests/scenarios`: read, played, compared with what they expect, and written anew with `UPDATE=1`.

use std::path::Path;

use indexmap::IndexMap;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct File<Scenario> {
    /// What all scenarios of the file are about.
    about: String,
    scenarios: IndexMap<String, Scenario>,
}

/// Something happens, and the controller acts until it rests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moment {
    pub on: String,
    #[serde(default)]
    pub writes: Vec<String>,
    #[serde(default)]
    pub events: Vec<String>,
    #[serde(default)]
    pub shows: String,
}

fn told(moment: &Moment) -> String {
    format!(
        "on {}\n  {}\n  {}\n  shows {}",
        moment.on,
        moment.writes.join("\n  "),
        moment.events.join("\n  "),
        moment.shows
    )
}

/// Plays every scenario of the files whose name `is_ours`; `then` gives a scenario's moments.
pub fn hold<Scenario: Serialize + DeserializeOwned>(
    is_ours: impl Fn(&str) -> bool,
    then: impl Fn(&mut Scenario) -> &mut Vec<Moment>,
    play: impl Fn(&str, &Scenario) -> Vec<Moment>,
) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let update = std::env::var_os("UPDATE").is_some();
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let (mut problems, mut count) = (Vec::new(), 0);
    for path in paths {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !is_ours(&name) {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let mut file: File<Scenario> = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        for (title, scenario) in &mut file.scenarios {
            count += 1;
            let seen = play(&format!("{name}: {title}"), scenario);
            let expected = then(scenario);
            for (expected, seen) in expected.iter().zip(&seen).filter(|(expected, seen)| expected != seen) {
                problems.push(format!("{name}: {title}\nexpected {}\nseen {}", told(expected), told(seen)));
            }
            *expected = seen;
        }
        if update {
            std::fs::write(&path, serde_saphyr::to_string(&file).unwrap()).unwrap();
        }
    }
    assert!(count > 0, "no scenarios");
    assert!(update || problems.is_empty(), "{}", problems.join("\n\n"));
}
