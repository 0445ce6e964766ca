//! `get rollout`: the tree, once or as it changes.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use crate::cli::GetRollout;
use crate::errors::Error;
use crate::model::RolloutInfo;
use crate::picture::Picture;
use crate::session::Session;
use crate::terminal::Terminal;
use crate::watch::Following;
use crate::{names, render};

/// On a terminal ages are kept up to date.
const TICK: Duration = Duration::from_secs(1);
/// Changes come in bursts; a frame shows all of one.
const BURST: Duration = Duration::from_millis(50);
/// A hundred years: no limit.
const FOREVER: Duration = Duration::from_hours(100 * 365 * 24);

/// Shows a Rollout.
///
/// # Errors
/// The Rollout cannot be read, or goes while it is watched.
pub async fn run(session: &Session, flags: &GetRollout, terminal: &mut Terminal) -> Result<(), Error> {
    if flags.no_color {
        terminal.without_colours();
    }
    if !flags.watch {
        let picture = Picture::read(session, &flags.name, terminal).await?;
        let info = RolloutInfo::new(&picture, session.now());
        return Ok(terminal.write(&render::rollout(&info, terminal.colours()))?);
    }
    let limit = if flags.timeout_seconds == 0 { FOREVER } else { Duration::from_secs(flags.timeout_seconds) };
    let end = Instant::now().checked_add(limit).unwrap_or_else(|| Instant::now() + FOREVER);
    tokio::select! {
        result = follow(session, &flags.name, terminal) => result,
        () = sleep_until(end) => Ok(()),
    }
}

async fn follow(session: &Session, name: &str, terminal: &mut Terminal) -> Result<(), Error> {
    let mut following = Following::begin(session, name, terminal).await?;
    let mut ticks = interval_at(Instant::now() + TICK, TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut shown = Shown::default();
    loop {
        let Some(picture) = following.picture() else {
            return Err(Error::NotFound {
                resource: names::qualified(&names::rollouts()),
                name: name.to_owned(),
                namespace: session.namespace.clone(),
            });
        };
        let info = RolloutInfo::new(&picture, session.now());
        let mut text = render::rollout(&info, terminal.colours());
        if let Some(trouble) = following.trouble() {
            text = format!("{text}\nWarning: this may be old: {trouble}\n");
        }
        // Elsewhere than on a terminal a frame stays: one that differs only in its ages is not worth it.
        let gist = if terminal.redraws() { text.clone() } else { gist(&info, following.trouble()) };
        if shown.replace(gist) {
            terminal.frame(&text)?;
        }
        tokio::select! {
            () = following.changed() => {
                let burst = Instant::now() + BURST;
                loop {
                    tokio::select! {
                        () = following.changed() => {}
                        () = sleep_until(burst) => break,
                    }
                }
            }
            _ = ticks.tick(), if terminal.redraws() => {}
        }
    }
}

/// The frame last shown.
#[derive(Default)]
struct Shown(Option<String>);

impl Shown {
    /// Whether this frame is another one.
    fn replace(&mut self, frame: String) -> bool {
        let differs = self.0.as_ref() != Some(&frame);
        self.0 = Some(frame);
        differs
    }
}

/// The frame without what time alone changes.
fn gist(info: &RolloutInfo, trouble: Option<&str>) -> String {
    let mut info = info.clone();
    info.tree.forget_time();
    format!("{}{trouble:?}", render::rollout(&info, false))
}
