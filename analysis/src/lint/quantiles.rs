//! Quantiles.
//!
//! PQ006 buckets that lose their bounds · PQ007 quantiles that are averaged.

use promql_parser::label::Labels;
use promql_parser::parser::{AggregateExpr, Expr, LabelModifier};

use super::Severity::Error;
use super::tree::{self, Node};
use super::{Report, each};

pub(super) fn look(root: &Node<'_>, report: &mut Report<'_>) {
    each(root, &mut |node| match node.expr {
        Expr::Call(call) if call.func.name == "histogram_quantile" => {
            if let [_, buckets] = node.parts.as_slice() {
                bounds(tree::bare(buckets), report);
            }
        }
        Expr::Aggregate(aggregate) if matches!(aggregate.op.to_string().as_str(), "avg" | "sum") => {
            if let Some(inner) = node.parts.last().map(tree::bare)
                && is_quantile(inner.expr)
            {
                let op = aggregate.op.to_string();
                report.add("PQ007", Error, node.at, format!("{op} of quantiles means nothing: the quantile of all is not the {op} of each; sum the buckets first: histogram_quantile(φ, sum by (le) (rate(…_bucket[…])))"));
            }
        }
        _ => {}
    });
}

/// Whether classic buckets are in there; native histograms have no label `le`.
fn has_buckets(node: &Node<'_>) -> bool {
    let mut found = false;
    each(node, &mut |node| {
        let name = match node.expr {
            Expr::VectorSelector(selector) => selector.name.as_deref(),
            Expr::MatrixSelector(selector) => selector.vs.name.as_deref(),
            _ => None,
        };
        found |= name.is_some_and(|name| name.ends_with("_bucket"));
    });
    found
}

fn bounds(node: &Node<'_>, report: &mut Report<'_>) {
    let Expr::Aggregate(aggregate) = node.expr else { return };
    let keeps = match &aggregate.modifier {
        None => false,
        Some(LabelModifier::Include(labels)) => labels.labels.iter().any(|label| label == "le"),
        Some(LabelModifier::Exclude(labels)) => !labels.labels.iter().any(|label| label == "le"),
    };
    if keeps || !has_buckets(node) {
        return;
    }
    let op = aggregate.op.to_string();
    report.add(
        "PQ006",
        Error,
        node.at,
        format!("{op} without le loses the bounds of the buckets, so that there is no quantile: {op} by (le) (…)"),
    );
    if report.query.reversible() {
        report.better(node.expr, &Expr::Aggregate(with_bounds(aggregate)));
    }
}

fn with_bounds(aggregate: &AggregateExpr) -> AggregateExpr {
    let mut changed = aggregate.clone();
    changed.modifier = Some(match &aggregate.modifier {
        None => LabelModifier::Include(Labels { labels: vec!["le".to_owned()] }),
        Some(LabelModifier::Include(labels)) => {
            let mut labels = labels.labels.clone();
            labels.push("le".to_owned());
            LabelModifier::Include(Labels { labels })
        }
        Some(LabelModifier::Exclude(labels)) => {
            let labels = labels.labels.iter().filter(|label| *label != "le").cloned().collect();
            LabelModifier::Exclude(Labels { labels })
        }
    });
    changed
}

fn is_quantile(expr: &Expr) -> bool {
    match expr {
        Expr::Call(call) => matches!(call.func.name, "histogram_quantile" | "quantile_over_time"),
        Expr::Aggregate(aggregate) => aggregate.op.to_string() == "quantile",
        // A summary brings its quantiles along.
        Expr::VectorSelector(selector) => selector.matchers.matchers.iter().any(|matcher| matcher.name == "quantile"),
        _ => false,
    }
}
