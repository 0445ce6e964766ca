//! What is wrong with a PromQL query that a server would take without a word: rules with stable ids, each with the place, the reason
//! and, where it is safe, a better query.
//!
//! There are two readers of PromQL here, on purpose. [`crate::promql`] decides whether an analysis may run and refuses only what no
//! server of the family could read; this one, over the crate `promql-parser`, is strict, knows types, and only ever advises.
//!
//! Invariants: pure; total on every input; an argument that is not known (`{{args.x}}`) is taken as something that fits, and stands in
//! the better query as it was written.

mod arguments;
mod form;
mod labels;
mod quantiles;
mod rates;
mod tree;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use promql_parser::parser::Expr;

use crate::promql::{self, Place};
use arguments::Filled;
use tree::Node;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The query may be meant like this.
    Warning,
    /// The query cannot judge a release.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// Something found in a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Where in the query.
    pub at: Place,
    /// Why, and what to do.
    pub why: String,
    /// A better query, where one is safe.
    pub better: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} at {}: {}", self.severity, self.id, self.at, self.why)?;
        match &self.better {
            Some(better) => write!(f, "\n  better: {better}"),
            None => Ok(()),
        }
    }
}

/// What is known about the query's surroundings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Arguments of the template, with their values as far as they are known.
    pub args: BTreeMap<String, Option<String>>,
    /// How often the server scrapes.
    pub scrape_interval: Duration,
}

impl Default for Known {
    fn default() -> Self {
        Self { args: BTreeMap::new(), scrape_interval: Duration::from_secs(15) }
    }
}

/// Collects findings while the rules look at the tree.
struct Report<'a> {
    known: &'a Known,
    query: &'a Filled,
    whole: &'a Expr,
    found: Vec<Finding>,
}

impl Report<'_> {
    fn add(&mut self, id: &'static str, severity: Severity, at: usize, why: impl Into<String>) {
        let at = Place::of(&self.query.written, self.query.original(at));
        self.found.push(Finding { id, severity, at, why: why.into(), better: None });
    }

    /// The last finding gets a better query: the whole one, with `changed` in place of `part`.
    fn better(&mut self, part: &Expr, changed: &Expr) {
        let whole = tree::replaced(self.whole, part, changed);
        if let Some(finding) = self.found.last_mut() {
            finding.better = Some(self.query.unfilled(&whole.to_string()));
        }
    }
}

/// Looks at a query.
pub fn lint(query: &str, known: &Known) -> Vec<Finding> {
    let filled = Filled::new(query, &known.args);
    let mut found = filled.problems();
    if let Err(error) = promql::check(&filled.text) {
        let at = Place::of(query, filled.original(error.offset(&filled.text)));
        let why = format!("expected {}, found {}", error.expected, error.found);
        found.push(Finding { id: "PQ001", severity: Severity::Error, at, why, better: None });
        return found;
    }
    let whole = match promql_parser::parser::parse(&filled.text) {
        Ok(whole) => whole,
        Err(problem) => {
            let at = Place { line: 1, column: 1 };
            let why = format!("is not what Prometheus reads as PromQL: {}", problem.trim());
            found.push(Finding { id: "PQ001", severity: Severity::Error, at, why, better: None });
            return found;
        }
    };
    let root = tree::build(&whole, &filled.text);
    let mut report = Report { known, query: &filled, whole: &whole, found };
    form::look(&root, &mut report);
    rates::look(&root, &mut report);
    quantiles::look(&root, &mut report);
    labels::look(&root, &mut report);
    report.found.sort_by_key(|finding| (finding.at.line, finding.at.column, finding.id));
    report.found
}

/// All nodes below and including this one.
fn each<'t, 'e>(node: &'t Node<'e>, with: &mut impl FnMut(&'t Node<'e>)) {
    with(node);
    for part in &node.parts {
        each(part, with);
    }
}
