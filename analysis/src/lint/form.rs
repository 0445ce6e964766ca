//! What the query as a whole gives.
//!
//! PQ002 a matrix or a text · PQ011 a comparison that filters · PQ014 `absent` in arithmetic · PQ015 a subquery of too many points ·
//! PQ016 two times compared.

use std::time::Duration;

use promql_parser::parser::Expr;
use promql_parser::parser::value::ValueType;

use super::Severity::{Error, Warning};
use super::tree::{self, Node};
use super::{Report, each};

/// Points that Prometheus gives at most.
const MOST_POINTS: u128 = 11_000;
/// Step of a subquery that names none: the server's interval of evaluation, one minute by default.
const DEFAULT_STEP: Duration = Duration::from_mins(1);

const ARITHMETIC: [&str; 6] = ["+", "-", "*", "/", "%", "^"];

pub(super) fn look(root: &Node<'_>, report: &mut Report<'_>) {
    match root.expr.value_type() {
        ValueType::Matrix => report.add("PQ002", Error, root.at, "gives a range of values: a condition needs numbers, so wrap it, for example in rate(…) or avg_over_time(…)"),
        ValueType::String => report.add("PQ002", Error, root.at, "gives a text: a condition needs numbers"),
        ValueType::Vector | ValueType::Scalar => {}
    }
    filter(root, report);
    each(root, &mut |node| match node.expr {
        Expr::Binary(binary) => {
            if ARITHMETIC.contains(&binary.op.to_string().as_str()) {
                absent(node, report);
            }
            times(node, report);
        }
        Expr::Subquery(subquery) => {
            let step = subquery.step.unwrap_or(DEFAULT_STEP).max(Duration::from_millis(1));
            let points = subquery.range.as_millis() / step.as_millis();
            if points > MOST_POINTS {
                report.add("PQ015", Warning, node.at, format!("the subquery has {points} points, the server gives at most {MOST_POINTS}: make its step longer or its range shorter"));
            }
        }
        _ => {}
    });
}

fn filter(root: &Node<'_>, report: &mut Report<'_>) {
    let node = tree::bare(root);
    let Expr::Binary(binary) = node.expr else { return };
    let vector = node.expr.value_type() == ValueType::Vector;
    if !vector || !binary.op.is_comparison_operator() || binary.return_bool() {
        return;
    }
    let op = binary.op.to_string();
    report.add("PQ011", Warning, node.at, format!("{op} without bool filters: when nothing fits, the result is empty and not 0; write {op} bool, or compare in the condition"));
    if report.query.reversible() {
        let mut changed = binary.clone();
        changed.modifier = Some(changed.modifier.take().map_or_else(
            || promql_parser::parser::BinModifier {
                card: promql_parser::parser::VectorMatchCardinality::OneToOne,
                matching: None,
                return_bool: true,
                fill_values: promql_parser::parser::VectorMatchFillValues::default(),
            },
            |modifier| modifier.with_return_bool(true),
        ));
        report.better(node.expr, &Expr::Binary(changed));
    }
}

fn absent(node: &Node<'_>, report: &mut Report<'_>) {
    for part in &node.parts {
        let part = tree::bare(part);
        if let Expr::Call(call) = part.expr
            && matches!(call.func.name, "absent" | "absent_over_time")
        {
            report.add(
                "PQ014",
                Warning,
                part.at,
                format!(
                    "{} gives 1 or nothing, never 0: the sum is empty when there is data; write {}(…) or vector(0)",
                    call.func.name, call.func.name
                ),
            );
        }
    }
}

fn has_offset(node: &Node<'_>) -> bool {
    let mut found = false;
    each(node, &mut |node| {
        found |= match node.expr {
            Expr::VectorSelector(selector) => selector.offset.is_some(),
            Expr::MatrixSelector(selector) => selector.vs.offset.is_some(),
            Expr::Subquery(subquery) => subquery.offset.is_some(),
            _ => false,
        };
    });
    found
}

fn selects(node: &Node<'_>) -> bool {
    let mut found = false;
    each(node, &mut |node| found |= matches!(node.expr, Expr::VectorSelector(_) | Expr::MatrixSelector(_)));
    found
}

fn times(node: &Node<'_>, report: &mut Report<'_>) {
    let [left, right] = node.parts.as_slice() else { return };
    if selects(left) && selects(right) && has_offset(left) != has_offset(right) {
        report.add("PQ016", Warning, node.at, "compares two different times (offset): what shook both versions then and now no longer cancels out; compare canary and stable at the same time");
    }
}
