//! The one door for chores: `cargo xtask --help` is the list.
//!
//! Kept free of heavy dependencies, so that it is compiled in seconds and can start long builds early.

#![forbid(unsafe_code)]

mod bench;
mod cluster;
mod command;
mod crds;
mod demo;
mod soak;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Chores of this repository")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Show the controller at work: no cluster needed (`--fast` runs in virtual time and ends by itself).
    Demo(demo::Arguments),
    /// Everything that must hold: formatting, lints, generated files, tests, tests on a real cluster.
    Test(test::Arguments),
    /// Write the CRDs in deploy/crds from the types of the `crds` crate.
    Crds(crds::Arguments),
    /// A real Kubernetes cluster for tests, with pods that answer, Prometheus and Traefik.
    Cluster(cluster::Arguments),
    /// Releases at random, and the laws that hold for all of them: `--minutes N` (10 when not given).
    Soak(soak::Arguments),
    /// The numbers that we promise, measured: see `bench --help`.
    Bench(bench::Arguments),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().chore {
        Chore::Demo(arguments) => demo::run(arguments),
        Chore::Test(arguments) => test::run(arguments),
        Chore::Crds(arguments) => crds::run(&arguments),
        Chore::Cluster(arguments) => cluster::run(arguments),
        Chore::Soak(arguments) => soak::run(&arguments),
        Chore::Bench(arguments) => bench::run(&arguments),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
