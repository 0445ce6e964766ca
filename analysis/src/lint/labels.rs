//! Which series are looked at.
//!
//! PQ008 nothing divided by nothing · PQ009 both versions judged as one · PQ012 a pattern that matches everything · PQ013 sides that do
//! not match.

use std::collections::BTreeSet;

use promql_parser::label::MatchOp;
use promql_parser::parser::value::ValueType;
use promql_parser::parser::{Expr, LabelModifier, VectorSelector};

use super::Severity::Warning;
use super::tree::{self, Node};
use super::{Report, each};

/// Labels that tell one version from the other.
const TELLING: [&str; 24] = [
    "pod",
    "pod_name",
    "kubernetes_pod_name",
    "instance",
    "rollouts_pod_template_hash",
    "pod_template_hash",
    "version",
    "app_version",
    "revision",
    "service",
    "service_name",
    "exported_service",
    "kubernetes_service_name",
    "destination_service",
    "destination_service_name",
    "destination_workload",
    "destination_version",
    "deployment",
    "ingress",
    "backend",
    "canary",
    "envoy_cluster_name",
    "dst_deployment",
    "track",
];

pub(super) fn look(root: &Node<'_>, report: &mut Report<'_>) {
    let mut selectors = Vec::new();
    each(root, &mut |node| match node.expr {
        Expr::VectorSelector(selector) => selectors.push((node, selector)),
        Expr::MatrixSelector(matrix) => selectors.push((node, &matrix.vs)),
        Expr::Binary(binary) => {
            match binary.op.to_string().as_str() {
                "/" => no_traffic(node, root, report),
                "+" | "-" | "*" | "%" | "^" => {}
                _ => return,
            }
            sides(node, report);
        }
        _ => {}
    });
    for (node, selector) in &selectors {
        everything(node, selector, report);
    }
    if let Some((first, _)) = selectors.first()
        && !selectors.iter().any(|(_, selector)| tells(selector, report))
    {
        report.add("PQ009", Warning, first.at, "nothing tells the canary from the stable version, so that both are judged as one: select by pod, rollouts_pod_template_hash or service");
    }
}

fn tells(selector: &VectorSelector, report: &Report<'_>) -> bool {
    let all = selector.matchers.matchers.iter().chain(selector.matchers.or_matchers.iter().flatten());
    let mut all = all.filter(|matcher| !matches_everything(&matcher.op));
    all.any(|matcher| TELLING.contains(&matcher.name.as_str()) || report.query.holds(&matcher.value))
        || selector.name.as_deref().is_some_and(|name| report.query.holds(name))
}

fn matches_everything(op: &MatchOp) -> bool {
    let MatchOp::Re(pattern) = op else { return false };
    // The parser anchors patterns: ^(?:…)$.
    let pattern = pattern.as_str();
    let inner = pattern.strip_prefix("^(?:").and_then(|rest| rest.strip_suffix(")$")).unwrap_or(pattern);
    let inner = inner.trim_start_matches('^').trim_end_matches('$');
    matches!(inner, ".*" | "(.*)" | "(?:.*)" | ".*.*" | ".*|" | "|.*")
}

fn everything(node: &Node<'_>, selector: &VectorSelector, report: &mut Report<'_>) {
    let useless = selector.matchers.matchers.iter().find(|matcher| matches_everything(&matcher.op));
    let Some(matcher) = useless else { return };
    report.add(
        "PQ012",
        Warning,
        node.at,
        format!("{}=~\"{}\" matches everything and costs time: leave it out", matcher.name, matcher.value),
    );
    if selector.name.is_none() || !report.query.reversible() {
        return;
    }
    let mut changed = selector.clone();
    changed.matchers.matchers.retain(|matcher| !matches_everything(&matcher.op));
    match node.expr {
        Expr::MatrixSelector(matrix) => {
            let mut matrix = matrix.clone();
            matrix.vs = changed;
            report.better(node.expr, &Expr::MatrixSelector(matrix));
        }
        _ => report.better(node.expr, &Expr::VectorSelector(changed)),
    }
}

fn counts(node: &Node<'_>) -> bool {
    let mut found = false;
    each(node, &mut |node| {
        found |= matches!(node.expr, Expr::Call(call) if matches!(call.func.name, "rate" | "irate" | "increase"));
    });
    found
}

/// Whether something in the query says what no traffic means.
fn provided(root: &Node<'_>) -> bool {
    let mut found = false;
    each(root, &mut |node| {
        found |= match node.expr {
            Expr::Binary(binary) => binary.op.to_string() == "or" || binary.op.is_comparison_operator(),
            Expr::Call(call) => call.func.name == "clamp_min",
            _ => false,
        };
    });
    found
}

fn no_traffic(node: &Node<'_>, root: &Node<'_>, report: &mut Report<'_>) {
    let [left, right] = node.parts.as_slice() else { return };
    if counts(left) && counts(right) && !provided(root) {
        report.add("PQ008", Warning, node.at, "is NaN while there is no traffic, and NaN fails every condition: use the provider comparison, or … or vector(0) where 0 is what you mean");
    }
}

/// The labels a result has, when the query says so.
fn known_labels(node: &Node<'_>) -> Option<BTreeSet<String>> {
    match tree::bare(node).expr {
        Expr::Aggregate(aggregate) => match &aggregate.modifier {
            // These keep the labels of what they choose.
            _ if matches!(aggregate.op.to_string().as_str(), "topk" | "bottomk" | "count_values") => None,
            None => Some(BTreeSet::new()),
            Some(LabelModifier::Include(labels)) => Some(labels.labels.iter().cloned().collect()),
            Some(LabelModifier::Exclude(_)) => None,
        },
        _ => None,
    }
}

fn sides(node: &Node<'_>, report: &mut Report<'_>) {
    let (Expr::Binary(binary), [left, right]) = (node.expr, node.parts.as_slice()) else { return };
    let vectors = left.expr.value_type() == ValueType::Vector && right.expr.value_type() == ValueType::Vector;
    let matched = binary.modifier.as_ref().is_some_and(|modifier| modifier.matching.is_some());
    if !vectors || matched {
        return;
    }
    if let (Some(one), Some(other)) = (known_labels(left), known_labels(right))
        && one != other
    {
        let list = |labels: BTreeSet<String>| labels.into_iter().collect::<Vec<_>>().join(", ");
        report.add("PQ013", Warning, node.at, format!("the left side has the labels ({}), the right side ({}): nothing matches and the result is empty; aggregate both alike, or say on(…) or ignoring(…)", list(one), list(other)));
    }
}
