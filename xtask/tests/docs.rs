//! Documents name files that exist.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

/// The code spans of a page.
fn spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_file_that_a_document_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut pages: Vec<_> = ["README.md", "CONTRIBUTING.md"].map(|name| root.join(name)).to_vec();
    pages.extend(std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path()));
    let mut checked = 0;
    let mut missing = Vec::new();
    for page in pages.iter().filter(|page| page.extension().is_some_and(|end| end == "md")) {
        let text = std::fs::read_to_string(page).unwrap();
        for span in spans(&text) {
            let file = span.contains('/') && [".rs", ".yaml", ".md", ".toml"].iter().any(|end| span.ends_with(end));
            if file && !span.contains(['<', '*', ' ', '{', ':']) {
                checked += 1;
                if !root.join(span).is_file() {
                    missing.push(format!("{}: {span}", page.display()));
                }
            }
        }
    }
    assert!(checked > 10, "only {checked} files are named");
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}
