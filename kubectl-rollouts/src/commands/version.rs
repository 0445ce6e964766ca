//! `version`: which program this is.

use serde_json::json;

use crate::cli;
use crate::errors::Error;
use crate::terminal::Terminal;

/// The version of this program.
pub const VERSION: &str = concat!("v", env!("CARGO_PKG_VERSION"));

/// Prints the version.
///
/// # Errors
/// The output is gone.
pub fn run(name: &str, flags: &cli::Version, terminal: &mut Terminal) -> Result<(), Error> {
    let platform = format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH);
    // Set by who builds a release.
    let commit = option_env!("ROLLOUTS_GIT_COMMIT").unwrap_or("unknown");
    if flags.output == Some(cli::Format::Json) {
        let version = json!({ "name": name, "version": VERSION, "gitCommit": commit, "platform": platform });
        return Ok(terminal.line(&format!("{:#}", json!({ "clientVersion": version })))?);
    }
    terminal.line(&format!("{name}: {VERSION}"))?;
    if !flags.short {
        terminal.line(&format!("  GitCommit: {commit}"))?;
        terminal.line(&format!("  Platform: {platform}"))?;
    }
    Ok(())
}
