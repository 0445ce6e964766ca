//! Arguments in a query: filled in with what is known, or with something that fits; and back.
//!
//! PQ017: an argument that the template does not declare, or a value that breaks out of the quotes it stands in.

use std::collections::BTreeMap;

use super::{Finding, Severity};
use crate::promql::Place;

/// A part of the text that stands for an argument.
struct Piece {
    /// Where it stands in the filled text, and how long it is there.
    at: usize,
    length: usize,
    /// What was written, with its braces, and where.
    written: String,
    written_at: usize,
    /// Name of the argument.
    name: String,
    quoted: bool,
}

/// A query with its arguments filled in.
pub(super) struct Filled {
    /// As it was written.
    pub(super) written: String,
    /// As it is read.
    pub(super) text: String,
    pieces: Vec<Piece>,
    args: BTreeMap<String, Option<String>>,
}

impl Filled {
    pub(super) fn new(written: &str, args: &BTreeMap<String, Option<String>>) -> Self {
        let (mut text, mut pieces, mut rest) = (String::new(), Vec::new(), written);
        while let Some((before, inside)) = rest.split_once("{{") {
            let Some((tag, after)) = inside.split_once("}}") else { break };
            text.push_str(before);
            let name = tag.trim().trim_start_matches("args.").to_owned();
            let (quoted, in_brackets) = surroundings(&text);
            // Always the same sign for the same place, so that it can be taken out again.
            let stand_in = if in_brackets { "5m".to_owned() } else { format!("argument{}", pieces.len()) };
            let written_at = written.len() - rest.len() + before.len();
            let written = format!("{{{{{tag}}}}}");
            pieces.push(Piece { at: text.len(), length: stand_in.len(), written, written_at, name, quoted });
            text.push_str(&stand_in);
            rest = after;
        }
        text.push_str(rest);
        Self { written: written.to_owned(), text, pieces, args: args.clone() }
    }

    /// The place in the written query of a place in the filled one.
    pub(super) fn original(&self, at: usize) -> usize {
        let mut shift: (usize, usize) = (0, 0);
        for piece in &self.pieces {
            if at < piece.at {
                break;
            }
            if at < piece.at + piece.length {
                return piece.written_at;
            }
            shift = (piece.at + piece.length, piece.written_at + piece.written.len());
        }
        shift.1 + at.saturating_sub(shift.0)
    }

    /// A query with the arguments as they were written.
    pub(super) fn unfilled(&self, text: &str) -> String {
        let mut text = text.to_owned();
        // The longest numbers first: argument1 is the start of argument12.
        for (number, piece) in self.pieces.iter().enumerate().rev() {
            text = text.replace(&format!("argument{number}"), &piece.written);
        }
        text
    }

    /// Whether a better query can be written: arguments that stand for a time cannot be told from times.
    pub(super) fn reversible(&self) -> bool {
        self.pieces.iter().all(|piece| piece.length > 2)
    }

    /// Whether a text holds an argument.
    pub(super) fn holds(&self, text: &str) -> bool {
        (0..self.pieces.len()).any(|number| text.contains(&format!("argument{number}")))
    }

    pub(super) fn problems(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        for piece in &self.pieces {
            let why = match self.args.get(&piece.name) {
                None => format!("{} is no argument of the template: declare it, or correct the name", piece.written),
                Some(Some(value)) if piece.quoted && value.contains(['"', '\\', '\n']) => {
                    format!(
                        "the value of {} has a quote or a backslash, which ends or changes the label value it stands in: escape it",
                        piece.written
                    )
                }
                Some(_) => continue,
            };
            let at = Place::of(&self.written, piece.written_at);
            found.push(Finding { id: "PQ017", severity: Severity::Error, at, why, better: None });
        }
        found
    }
}

/// Whether the end of the text is within quotes, and whether it is within square brackets.
fn surroundings(text: &str) -> (bool, bool) {
    let (mut quote, mut escaped, mut brackets) = (None, false, 0_i32);
    for sign in text.chars() {
        match quote {
            Some(open) => {
                if !escaped && sign == open {
                    quote = None;
                }
                escaped = !escaped && sign == '\\' && open != '`';
            }
            None => match sign {
                '"' | '\'' | '`' => quote = Some(sign),
                '[' => brackets += 1,
                ']' => brackets -= 1,
                _ => {}
            },
        }
    }
    (quote.is_some(), quote.is_none() && brackets > 0)
}
