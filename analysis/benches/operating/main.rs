//! Operating characteristics of release judgement: how many healthy releases are aborted, how many bad ones are found, and how soon.
//!
//! The comparison is the product's own code; thresholds as in templates for Argo Rollouts and Flagger, and Kayenta's judge, see the same data.
//! `cargo xtask bench analysis` runs it; `docs/analysis.md` has the table.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_precision_loss
)]

mod bars;
mod method;
mod other;
mod random;
mod simulate;
mod world;

use std::process::ExitCode;

use serde_json::json;
use simulate::Row;
use world::World;

const RATES: [f64; 3] = [1.0, 10.0, 1000.0];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let json = arguments.iter().any(|argument| argument == "--json");
    let after =
        |name: &str| arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1));
    let releases = after("--releases").map_or(20_000, |text| text.parse().expect("--releases is a number"));
    let mut rows = Vec::new();
    for world in World::ALL {
        for rps in RATES {
            let more = simulate::rows(world, rps, releases);
            if !json {
                print_rows(&more);
            }
            rows.extend(more);
        }
    }
    for (wobble, memory) in [(0.1, 6.0), (0.2, 12.0)] {
        let more: Vec<Row> = other::latency(wobble, memory, releases).into_iter().map(|(_, row)| row).collect();
        if !json {
            print_rows(&more);
        }
        rows.extend(more);
    }
    let more = other::gauge(releases);
    if !json {
        print_rows(&more);
    }
    rows.extend(more);
    if json {
        // Those worlds that all methods are asked about.
        let compared = rows.iter().filter(|row| World::ALL.iter().any(|world| world.name() == row.world));
        let rows: Vec<_> = compared
            .map(|row| {
                let Row { world, rps, effect, method, aborted, median_s } = row;
                json!({"world": world, "rps": rps, "effect": effect, "method": method, "aborted": aborted, "median_s": median_s})
            })
            .collect();
        println!("{}", json!({ "rows": rows }));
    }
    let mut missed = 0;
    for bar in bars::BARS {
        for row in rows.iter().filter(|row| bar.fits(row)) {
            if !bar.holds(row, 1.0) {
                missed += 1;
                eprintln!(
                    "missed: {} · {} requests/s · ×{}: {}, is {}",
                    bar.world,
                    bar.rps,
                    bar.effect,
                    bar.text(),
                    cell(row)
                );
            }
        }
    }
    eprintln!("{} bars, {missed} missed", bars::BARS.len());
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn cell(row: &Row) -> String {
    let share = format!("{:.2} %", row.aborted * 100.0);
    row.median_s.map_or(share.clone(), |median| format!("{share} · {median:.0} s"))
}

/// A table of one world: methods down, effects across.
fn print_rows(rows: &[Row]) {
    let Some(first) = rows.first() else { return };
    let mut effects: Vec<(String, f64)> = Vec::new();
    let mut methods: Vec<&str> = Vec::new();
    for row in rows {
        let column = (row.world.clone(), row.effect);
        if !effects.contains(&column) {
            effects.push(column);
        }
        if !methods.contains(&row.method) {
            methods.push(row.method);
        }
    }
    println!("\n### {}, {} requests/s\n", first.world, first.rps);
    let heads: Vec<String> = effects
        .iter()
        .map(|(world, effect)| if *world == first.world { format!("×{effect}") } else { world.clone() })
        .collect();
    println!("| method | {} |", heads.join(" | "));
    println!("|---|{}", "---|".repeat(heads.len()));
    for method in methods {
        let cells: Vec<String> = effects
            .iter()
            .filter_map(|(world, effect)| {
                let found = rows
                    .iter()
                    .find(|row| row.method == method && row.world == *world && (row.effect - effect).abs() < 1e-9);
                found.map(cell)
            })
            .collect();
        println!("| {method} | {} |", cells.join(" | "));
    }
}
