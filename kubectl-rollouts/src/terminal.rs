//! Where the output goes: colours only where they are seen, redrawing only where it is possible.

use std::io::{self, IsTerminal as _, Write};

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr as _;

/// Colours in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// The terminal's own.
    Plain,
    /// Good, stable.
    Green,
    /// Waiting, on trial.
    Yellow,
    /// Bad.
    Red,
    /// Not yet for users.
    Blue,
    /// On the way.
    Cyan,
}

impl Colour {
    fn style(self) -> Style {
        let colour = match self {
            Self::Plain => return Style::new(),
            Self::Green => AnsiColor::Green,
            Self::Yellow => AnsiColor::Yellow,
            Self::Red => AnsiColor::Red,
            Self::Blue => AnsiColor::BrightBlue,
            Self::Cyan => AnsiColor::Cyan,
        };
        Style::new().fg_color(Some(colour.into()))
    }
}

/// Text in one or several colours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text(Vec<(Option<Colour>, String)>);

impl Text {
    /// Text in the terminal's own colour.
    pub fn plain(text: impl Into<String>) -> Self {
        Self(vec![(None, text.into())])
    }

    /// Text in this colour.
    pub fn coloured(colour: Colour, text: impl Into<String>) -> Self {
        Self(vec![(Some(colour), text.into())])
    }

    /// Adds more text.
    #[must_use]
    pub fn then(mut self, more: Self) -> Self {
        self.0.extend(more.0);
        self
    }

    /// Columns it takes on a terminal.
    pub fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| text.width()).sum()
    }

    /// The text, with escape sequences if `colours`.
    pub fn render(&self, colours: bool) -> String {
        let mut rendered = String::new();
        for (colour, text) in &self.0 {
            match colour {
                Some(colour) if colours && *colour != Colour::Plain && !text.is_empty() => {
                    let style = colour.style();
                    rendered = format!("{rendered}{}{text}{}", style.render(), style.render_reset());
                }
                _ => rendered.push_str(text),
            }
        }
        rendered
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::plain(text)
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::plain(text)
    }
}

/// Rows in columns two blanks apart, without blanks at the ends of lines.
pub fn columns(rows: &[Vec<Text>], colours: bool) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        for (index, cell) in row.iter().enumerate() {
            match widths.get_mut(index) {
                Some(width) => *width = (*width).max(cell.width()),
                None => widths.push(cell.width()),
            }
        }
    }
    let mut text = String::new();
    for row in rows {
        let filled = row.iter().rposition(|cell| cell.width() > 0).map_or(0, |last| last + 1);
        for (index, (cell, width)) in row.iter().zip(&widths).take(filled).enumerate() {
            text.push_str(&cell.render(colours));
            if index + 1 < filled {
                text.push_str(&" ".repeat(width.saturating_sub(cell.width()) + 2));
            }
        }
        text.push('\n');
    }
    text
}

/// The two streams a command writes to.
pub struct Terminal {
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
    colours: bool,
    redraws: bool,
    drawn: bool,
}

impl Terminal {
    /// The process' own streams. Colours only when standard output is a terminal and the environment (`NO_COLOR`,
    /// `CLICOLOR`, `TERM=dumb`) does not say otherwise.
    pub fn standard() -> Self {
        let choice = anstream::AutoStream::choice(&io::stdout());
        let redraws = io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Self::new(Box::new(io::stdout()), Box::new(io::stderr()), choice != anstream::ColorChoice::Never, redraws)
    }

    /// Any two streams.
    pub fn new(out: Box<dyn Write + Send>, err: Box<dyn Write + Send>, colours: bool, redraws: bool) -> Self {
        Self { out, err, colours, redraws, drawn: false }
    }

    /// Whether escape sequences for colours are wanted.
    pub fn colours(&self) -> bool {
        self.colours
    }

    /// Never use colours, whatever the terminal can do.
    pub fn without_colours(&mut self) {
        self.colours = false;
    }

    /// Whether a frame can replace the one before it.
    pub fn redraws(&self) -> bool {
        self.redraws
    }

    /// Writes one line.
    pub fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    /// Writes text that has its own line ends.
    pub fn write(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// Writes one line to standard error.
    pub fn complain(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.err, "{text}")?;
        self.err.flush()
    }

    /// Shows a frame: in place of the one before it on a terminal, after it elsewhere.
    pub fn frame(&mut self, text: &str) -> io::Result<()> {
        if !self.redraws {
            let gap = if std::mem::replace(&mut self.drawn, true) { "\n" } else { "" };
            return self.write(&format!("{gap}{text}"));
        }
        // Going home and clearing what is left of each line flickers less than clearing the screen each time.
        let start = if std::mem::replace(&mut self.drawn, true) { "\x1b[H" } else { "\x1b[2J\x1b[H" };
        let body = text.replace('\n', "\x1b[K\n");
        self.write(&format!("{start}{body}\x1b[J"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_measured_in_terminal_columns_and_have_no_trailing_blanks() {
        let rows = vec![
            vec!["NAME".into(), "STATUS".into(), "INFO".into()],
            vec!["⟳ web".into(), Text::coloured(Colour::Green, "✔ Healthy"), "".into()],
            vec!["├──# revision:1".into(), "".into(), "".into()],
        ];
        assert_eq!(
            columns(&rows, false),
            "NAME             STATUS     INFO\n⟳ web            ✔ Healthy\n├──# revision:1\n"
        );
        let coloured = columns(&rows, true);
        assert!(coloured.contains("\u{1b}[32m✔ Healthy\u{1b}[0m\n"), "{coloured:?}");
    }

    #[derive(Clone, Default)]
    struct Kept(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_frame_replaces_the_one_before_it_only_on_a_terminal() {
        let shown = |redraws| {
            let kept = Kept::default();
            let mut terminal = Terminal::new(Box::new(kept.clone()), Box::new(io::sink()), false, redraws);
            terminal.frame("a\nb\n").unwrap();
            terminal.frame("c\n").unwrap();
            String::from_utf8(kept.0.lock().unwrap().clone()).unwrap()
        };
        assert_eq!(shown(false), "a\nb\n\nc\n");
        assert_eq!(shown(true), "\x1b[2J\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J\x1b[Hc\x1b[K\n\x1b[J");
    }
}
