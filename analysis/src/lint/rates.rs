//! Counters.
//!
//! PQ003 a window too short for the scrape interval · PQ004 a sum before its rate · PQ005 the rate of a gauge · PQ010 `irate`.

use std::time::Duration;

use promql_parser::parser::{Call, Expr, Function, FunctionArgs, MatrixSelector};

use super::Report;
use super::Severity::{Error, Warning};
use super::tree::{self, Node};

/// Scrapes that a window must hold, so that one may be missed.
const SCRAPES: u32 = 4;
/// Ends of the names of counters.
const COUNTERS: [&str; 4] = ["_total", "_count", "_sum", "_bucket"];

fn is_rate(name: &str) -> bool {
    matches!(name, "rate" | "irate" | "increase")
}

pub(super) fn look(root: &Node<'_>, report: &mut Report<'_>) {
    walk(root, false, report);
}

/// `histogram`: within a function of histograms, whose native form has a name without an end.
fn walk(node: &Node<'_>, histogram: bool, report: &mut Report<'_>) {
    let mut inner = histogram;
    if let Expr::Call(call) = node.expr {
        inner |= call.func.name.starts_with("histogram_");
        if is_rate(call.func.name)
            && let [argument] = node.parts.as_slice()
        {
            rate(node, call, tree::bare(argument), histogram, report);
        }
    }
    for part in &node.parts {
        walk(part, inner, report);
    }
}

fn rate(node: &Node<'_>, call: &Call, argument: &Node<'_>, histogram: bool, report: &mut Report<'_>) {
    let name = call.func.name;
    match argument.expr {
        Expr::MatrixSelector(selector) => {
            window(argument, selector, name, report);
            let metric = selector.vs.name.as_deref().unwrap_or_default();
            let unknown = histogram || metric.is_empty() || report.query.holds(metric);
            if !unknown && !COUNTERS.iter().any(|end| metric.ends_with(end)) {
                report.add(
                    "PQ005",
                    Warning,
                    argument.at,
                    format!("{name} of {metric}, whose name is not that of a counter: of a gauge take delta or deriv"),
                );
            }
        }
        Expr::Subquery(subquery) => {
            if let [inner] = argument.parts.as_slice()
                && let Expr::Aggregate(aggregate) = tree::bare(inner).expr
            {
                let op = aggregate.op.to_string();
                report.add("PQ004", Error, node.at, format!("{name} of {op}(…): when a pod restarts, its counter falls and the {op} with it, which looks like a reset of all; take the {name} of each series first: {op}({name}(…))"));
                if let Expr::VectorSelector(vs) = &*aggregate.expr
                    && report.query.reversible()
                {
                    let matrix = Expr::MatrixSelector(MatrixSelector { vs: vs.clone(), range: subquery.range });
                    let mut changed = aggregate.clone();
                    changed.expr = Box::new(called(&call.func, matrix));
                    report.better(node.expr, &Expr::Aggregate(changed));
                }
            }
        }
        _ => {}
    }
    if name == "irate" {
        report.add("PQ010", Warning, node.at, "irate looks at two samples only, which is noise: take rate");
        if report.query.reversible() {
            // Of the same type, under another name.
            let func = Function { name: "rate", ..call.func.clone() };
            report.better(node.expr, &Expr::Call(Call { func, args: call.args.clone() }));
        }
    }
}

fn called(function: &Function, argument: Expr) -> Expr {
    Expr::Call(Call { func: function.clone(), args: FunctionArgs { args: vec![Box::new(argument)] } })
}

fn window(argument: &Node<'_>, selector: &MatrixSelector, name: &str, report: &mut Report<'_>) {
    let scrape = report.known.scrape_interval;
    let needed = scrape.saturating_mul(SCRAPES);
    if name == "irate" || selector.range >= needed {
        return;
    }
    let (range, every, long) = (text(selector.range), text(scrape), text(needed));
    report.add("PQ003", Error, argument.at, format!("a window of {range} holds too few scrapes when there is one every {every}: it must hold {SCRAPES}, so [{long}]"));
    if report.query.reversible() {
        let mut changed = selector.clone();
        changed.range = needed;
        report.better(argument.expr, &Expr::MatrixSelector(changed));
    }
}

fn text(time: Duration) -> String {
    promql_parser::util::duration::display_duration(&time)
}
