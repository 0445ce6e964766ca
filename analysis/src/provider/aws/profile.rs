//! Profiles in the files of the AWS command line (`~/.aws/config`, `~/.aws/credentials`).
//!
//! Invariants: pure, total; a key of the credentials file wins over one of the config file.

use std::collections::BTreeMap;

/// The settings of one profile.
pub(in crate::provider) type Profile = BTreeMap<String, String>;

/// All profiles of both files.
#[derive(Default)]
pub(in crate::provider) struct Profiles(BTreeMap<String, Profile>);

impl Profiles {
    /// Reads the texts of the files.
    pub(in crate::provider) fn read(config: &str, credentials: &str) -> Self {
        let mut all = BTreeMap::new();
        sections(config, &mut all);
        sections(credentials, &mut all);
        Self(all)
    }

    pub(in crate::provider) fn get(&self, name: &str) -> Option<&Profile> {
        self.0.get(name)
    }
}

fn sections(text: &str, all: &mut BTreeMap<String, Profile>) {
    let mut section: Option<String> = None;
    for line in text.lines() {
        // Indented lines belong to settings that nobody here reads.
        if line.starts_with(char::is_whitespace) {
            continue;
        }
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            let name = name.trim();
            section = Some(name.strip_prefix("profile ").unwrap_or(name).trim().to_owned());
        } else if !line.starts_with(['#', ';'])
            && let (Some((key, value)), Some(section)) = (line.split_once('='), &section)
        {
            let profile = all.entry(section.clone()).or_default();
            profile.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn both_files_make_one_profile() {
        let profiles = Profiles::read(
            "# people\n[default]\nregion = eu-west-1\n\n[profile ops]\nrole_arn=arn:aws:iam::1:role/ops\nsource_profile = default\ns3 =\n  region = x\n",
            "[default]\naws_access_key_id = AK\naws_secret_access_key = a=b\n",
        );
        let default = profiles.get("default").unwrap();
        assert_eq!(default.get("region").unwrap(), "eu-west-1");
        assert_eq!(default.get("aws_secret_access_key").unwrap(), "a=b");
        assert_eq!(profiles.get("ops").unwrap().get("source_profile").unwrap(), "default");
        assert!(!profiles.get("ops").unwrap().contains_key("region"));
        assert!(profiles.get("none").is_none());
    }
}
