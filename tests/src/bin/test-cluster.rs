//! The test cluster by hand (`cargo xtask cluster …` calls this), and the servers that run inside it.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use cluster_tests::{down, enter, forward, relay, serve_pods, status, up};

const USAGE: &str = "usage: cargo xtask cluster up | down | status | exec -- COMMAND …";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<ExitCode> {
    cluster_tests::install_tls();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["up"] => {
            let begun = Instant::now();
            up(|what| eprintln!("{what}")).await?;
            print!("{}", status().0);
            eprintln!("ready after {:.1} s", begun.elapsed().as_secs_f64());
        }
        ["down"] => down()?,
        ["status"] => {
            let (text, all) = status();
            print!("{text}");
            return Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        ["exec", "--", program, rest @ ..] | ["exec", program, rest @ ..] => {
            let ended = enter(program)?.args(rest).status().with_context(|| format!("run {program}"))?;
            let code = ended.code().and_then(|code| u8::try_from(code).ok());
            return Ok(code.map_or(ExitCode::FAILURE, ExitCode::from));
        }
        ["serve-pods", kubeconfig, port] => serve_pods(Path::new(kubeconfig), port.parse()?).await?,
        ["forward", port] => forward(port.parse()?).await?,
        ["relay", from, to] => relay(from.parse()?, to.parse()?).await?,
        _ => bail!(USAGE),
    }
    Ok(ExitCode::SUCCESS)
}
