//! Annotated CSV, the form in which InfluxDB answers to Flux
//! (<https://docs.influxdata.com/influxdb/v2/reference/syntax/annotated-csv/>).
//!
//! Invariants: total on every input; a table of errors is an error, whatever follows it.

use crate::condition::Value;

/// The values of all records, in order.
pub(super) fn values(text: &str) -> Result<Vec<Value>, String> {
    let mut found = Vec::new();
    let (mut types, mut defaults, mut names) = (Vec::new(), Vec::new(), Vec::<String>::new());
    let mut annotated = false;
    for row in rows(text) {
        let mark = row.first().map(String::as_str).unwrap_or_default();
        if row.iter().all(String::is_empty) {
            names.clear();
        } else if let Some(annotation) = mark.strip_prefix('#') {
            if !annotated {
                (types, defaults) = (Vec::new(), Vec::new());
            }
            annotated = true;
            names.clear();
            match annotation {
                "datatype" => types = row,
                "default" => defaults = row,
                _ => {}
            }
        } else if names.is_empty() {
            annotated = false;
            names = row;
        } else {
            let cell = |name: &str| -> Option<(usize, String)> {
                let at = names.iter().position(|column| column == name)?;
                let given = row.get(at).filter(|text| !text.is_empty()).or_else(|| defaults.get(at));
                Some((at, given.cloned().unwrap_or_default()))
            };
            if let Some((_, problem)) = cell("error") {
                return Err(problem);
            }
            let Some((at, text)) = cell("_value") else { continue };
            found.push(value(types.get(at).map(String::as_str).unwrap_or_default(), &text)?);
        }
    }
    Ok(found)
}

fn value(kind: &str, text: &str) -> Result<Value, String> {
    let wrong = || format!("the answer holds \"{text}\" where {kind} is expected");
    Ok(match kind {
        _ if text.is_empty() && kind != "string" => Value::Nil,
        "double" => Value::Float(text.trim_start_matches('+').parse().map_err(|_| wrong())?),
        "long" | "unsignedLong" => match text.parse() {
            Ok(whole) => Value::Int(whole),
            Err(_) => Value::Float(text.parse().map_err(|_| wrong())?),
        },
        "boolean" => Value::Bool(text == "true"),
        _ => Value::text(text),
    })
}

/// Rows and cells as in RFC 4180.
fn rows(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell) = (Vec::new(), Vec::new(), String::new());
    let mut quoted = false;
    let mut signs = text.chars().peekable();
    while let Some(sign) = signs.next() {
        match sign {
            '"' if quoted && signs.peek() == Some(&'"') => {
                signs.next();
                cell.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut cell)),
            '\r' if !quoted => {}
            '\n' if !quoted => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            sign => cell.push(sign),
        }
    }
    if !cell.is_empty() || !row.is_empty() {
        row.push(cell);
        rows.push(row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_type_of_their_table() {
        let text = "#datatype,string,long,double\r\n#group,false,false,false\r\n#default,_result,,\r\n,result,table,_value\r\n,,0,0.25\r\n,,0,\r\n\r\n\
                    #datatype,string,long,long,string\r\n#default,_result,,,\r\n,result,table,_value,note\r\n,,1,7,\"a, \"\"b\"\"\nc\"\r\n\r\n\
                    #datatype,string,long,boolean\r\n,result,table,_value\r\n,,2,true\r\n";
        assert_eq!(values(text), Ok(vec![Value::Float(0.25), Value::Nil, Value::Int(7), Value::Bool(true)]));
        assert_eq!(values(""), Ok(Vec::new()));
        assert_eq!(values("\r\n"), Ok(Vec::new()));
    }

    #[test]
    fn a_table_of_errors_is_an_error() {
        let text = "#datatype,string,string\n,error,reference\n,Failed to parse query,897\n";
        assert_eq!(values(text), Err("Failed to parse query".to_owned()));
        let text = "#datatype,string,long,double\n,result,table,_value\n,,0,oops\n";
        assert!(values(text).is_err());
    }
}
