//! The JSONPath that Kubernetes users write (`{$.a.b}`), as RFC 9535 has it, and its first match.
//!
//! Differences that are bridged: braces around the path, `$` left out, `@` for the root, names with characters that RFC 9535
//! wants quoted (`.up-time`), and `\.` within a name. `{range}`, several expressions and text between them are refused:
//! they make text, and a condition wants a value.

use jsonpath_rust::JsonPath;
use serde_json::Value;

/// Longest path; bounds the recursion of its parser.
const LONGEST: usize = 1_000;

/// What ends a name that follows a dot.
const ENDS_NAME: &[char] = &['.', ',', '[', ']', '$', '@', '{', '}', ' ', '\t', '\n', '\r'];

/// The first value at `path`; `Ok(None)` when there is none.
pub(super) fn first<'a>(path: &str, within: &'a Value) -> Result<Option<&'a Value>, String> {
    let wrong = |why: String| format!("jsonPath \"{path}\" is not valid: {why}");
    let standard = standard(path).map_err(wrong)?;
    let found = within.query(&standard).map_err(|error| wrong(error.to_string()))?;
    Ok(found.first().copied())
}

/// The path in the form of RFC 9535.
fn standard(path: &str) -> Result<String, String> {
    if path.len() > LONGEST {
        return Err(format!("it is longer than {LONGEST} bytes"));
    }
    let path = path.trim();
    let inner = match path.strip_prefix('{') {
        Some(rest) => rest.strip_suffix('}').ok_or("text after the closing brace, or no closing brace")?.trim(),
        None if path.is_empty() || path.starts_with(['$', '@', '.', '[']) => path,
        None => return Err("write for example {$.status.value}".to_owned()),
    };
    let mut rest = inner.strip_prefix(['$', '@']).unwrap_or(inner);
    let mut out = String::from("$");
    while let Some(first) = rest.chars().next() {
        rest = match first {
            '[' => {
                let length = bracket(rest)?;
                let (selector, after) = rest.split_at(length);
                out.push_str(selector);
                after
            }
            '.' => {
                let mut after = rest.trim_start_matches('.');
                match rest.len() - after.len() {
                    1 => {}
                    2 => out.push_str(".."),
                    _ => return Err("more than two dots in a row".to_owned()),
                }
                if let Some(behind) = after.strip_prefix('*') {
                    out.push_str("[*]");
                    after = behind;
                } else if !after.starts_with('[') {
                    after = name(after, &mut out)?;
                } else {
                    // `.[0]` is `[0]`, which the next round reads.
                }
                after
            }
            '{' | '}' => return Err("only one expression in braces is possible".to_owned()),
            other => return Err(format!("unexpected \"{other}\"; write for example {{$.status.value}}")),
        };
    }
    Ok(out)
}

/// Writes the name at the start of `text` in quotes and gives what follows it.
fn name<'a>(text: &'a str, out: &mut String) -> Result<&'a str, String> {
    out.push_str("['");
    let mut characters = text.char_indices();
    let mut end = text.len();
    while let Some((at, character)) = characters.next() {
        let literal = match character {
            '\\' => characters.next().map(|(_, escaped)| escaped).ok_or("it ends in a backslash")?,
            character if ENDS_NAME.contains(&character) => {
                end = at;
                break;
            }
            character => character,
        };
        if matches!(literal, '\'' | '\\') {
            out.push('\\');
        }
        out.push(literal);
    }
    if end == 0 || text.is_empty() {
        return Err("a name is missing after a dot".to_owned());
    }
    out.push_str("']");
    text.get(end..).ok_or_else(|| "a name is missing after a dot".to_owned())
}

/// Length of the bracketed selector at the start of `text`; brackets in quotes do not count.
fn bracket(text: &str) -> Result<usize, String> {
    let (mut depth, mut quote) = (0u32, None);
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match (quote, character) {
            (Some(_), '\\') => drop(characters.next()),
            (Some(open), _) if open == character => quote = None,
            (None, '\'' | '"') => quote = Some(character),
            (None, '[') => depth += 1,
            (None, ']') if depth == 1 => return Ok(at + 1),
            (None, ']') => depth -= 1,
            _ => {}
        }
    }
    Err("a bracket is not closed".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn body() -> Value {
        json!({
            "a": {"b": 1, "up-time": 7, "app.kubernetes.io/name": "web", "it's": true},
            "list": [{"n": "x", "v": 1}, {"n": "y", "v": 2}, {"n": "z", "v": 3}],
            "deep": [{"more": [{"v": 9}]}],
            "nothing": null,
        })
    }

    #[test]
    fn paths_as_users_write_them() {
        let whole = body();
        for (path, expected) in [
            ("", whole.clone()),
            ("{$}", whole.clone()),
            ("{@}", whole.clone()),
            ("{}", whole.clone()),
            ("{$.a.b}", json!(1)),
            (" { .a.b } ", json!(1)),
            ("$.a.b", json!(1)),
            (".a.b", json!(1)),
            ("{@.a.b}", json!(1)),
            ("{$.a.up-time}", json!(7)),
            (r"{.a.app\.kubernetes\.io/name}", json!("web")),
            ("{$.a['app.kubernetes.io/name']}", json!("web")),
            ("{$['a'][\"b\"]}", json!(1)),
            ("{$.a.it's}", json!(true)),
            ("{$.list[1].v}", json!(2)),
            ("{$.list.[1].v}", json!(2)),
            ("{$.list[-1].v}", json!(3)),
            ("{$.list[-1:].v}", json!(3)),
            ("{$.list[1:].v}", json!(2)),
            ("{$.list[*].v}", json!(1)),
            ("{$.list.*.v}", json!(1)),
            ("{$.list[2,0].v}", json!(3)),
            ("{$.list[?(@.n == \"y\")].v}", json!(2)),
            ("{.list[?(@.v>2)].n}", json!("z")),
            ("{$.deep..v}", json!(9)),
            ("{$.nothing}", json!(null)),
        ] {
            assert_eq!(first(path, &whole), Ok(Some(&expected)), "{path}");
        }
    }

    #[test]
    fn what_is_not_there_is_told_apart_from_what_is_wrong() {
        let whole = body();
        for path in ["{$.a.c}", "{$.list[7]}", "{$.a.b.c}", "{$.list[?(@.v>5)]}"] {
            assert_eq!(first(path, &whole), Ok(None), "{path}");
        }
        let long = format!("${}", ".a".repeat(1_000));
        for path in [
            "{$.a",
            "a.b",
            "{a.b}",
            "{.a}{.b}",
            "x={.a}",
            "{.a} ms",
            "{range .list[*]}{.v}{end}",
            "{$.a.}",
            "{$...a}",
            "{$.list[}",
            "{$.list[?(@.n=='y']}",
            "{$.a\\",
            "{$.a b}",
            "{$.list[x]}",
            &long,
        ] {
            let said = first(path, &whole).unwrap_err();
            assert!(said.starts_with("jsonPath \"") && said.contains("\" is not valid: "), "{path}: {said}");
        }
    }
}
