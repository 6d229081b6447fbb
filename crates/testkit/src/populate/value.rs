//! A value of a type for row number `n`, as text that every database reads; other numbers give other values
//! wherever the type has room.

use super::catalog::{Column, Kind};

/// A value for a column of a row; `distinct` asks for one that no other row has.
pub(super) fn value(column: &Column, n: usize, distinct: bool) -> Option<String> {
    let kind = &column.kind;
    let n = if distinct { n } else { few(n) };
    let one = scalar(kind, &column.name, n)?;
    if !kind.is_array {
        return Some(one);
    }
    let element = format!("\"{}\"", one.replace('\\', "\\\\").replace('"', "\\\""));
    Some(format!("{{{element},{element}}}"))
}

/// Values that need not be distinct repeat, as they do in life.
fn few(n: usize) -> usize {
    1 + n % 5
}

fn scalar(kind: &Kind, name: &str, n: usize) -> Option<String> {
    if !kind.labels.is_empty() {
        return Some(kind.labels[n % kind.labels.len()].clone());
    }
    let day = format!("2026-{:02}-{:02}", 1 + n / 28 % 12, 1 + n % 28);
    let text = match kind.name.as_str() {
        "int2" | "int4" | "int8" | "oid" | "integer" | "bigint" | "smallint" | "money" => n.to_string(),
        "float4" | "float8" | "real" | "double" => format!("{n}.25"),
        "numeric" | "decimal" => number(kind, n),
        "bool" | "boolean" => if n.is_multiple_of(2) { "true" } else { "false" }.to_owned(),
        "date" => day,
        "timestamp" | "timestamptz" | "datetime" => format!("{day} {:02}:{:02}:07.25", n % 24, n / 24 % 60),
        "time" | "timetz" => format!("{:02}:{:02}:07", n % 24, n / 24 % 60),
        "interval" => format!("{n} hours"),
        "uuid" => format!("00000000-0000-4000-8000-{n:012x}"),
        "json" | "jsonb" => format!("{{\"n\": {n}}}"),
        "bytea" => format!("\\x{n:08x}"),
        "blob" => format!("b{n}"),
        "inet" => format!("10.{}.{}.{}", n / 65536 % 256, n / 256 % 256, n % 256),
        "cidr" => format!("10.{}.{}.0/24", n / 256 % 256, n % 256),
        "macaddr" => format!("02:00:00:{:02x}:{:02x}:{:02x}", n / 65536 % 256, n / 256 % 256, n % 256),
        "macaddr8" => format!("02:00:00:00:00:{:02x}:{:02x}:{:02x}", n / 65536 % 256, n / 256 % 256, n % 256),
        "xml" => format!("<n>{n}</n>"),
        "tsvector" => format!("'row' 'n{n}'"),
        "tsquery" => format!("n{n}"),
        "ltree" => format!("top.n{n}"),
        "hstore" => format!("n=>{n}"),
        "point" => format!("({n},{n})"),
        "box" => format!("({n},{n}),(0,0)"),
        "circle" => format!("<({n},{n}),1>"),
        "bit" => bits(kind.size.unwrap_or(1), n),
        "varbit" => format!("{n:b}"),
        "pg_lsn" => format!("0/{n:X}"),
        "int4range" | "int8range" | "numrange" => format!("[{},{})", n * 10, n * 10 + 5),
        "daterange" | "tsrange" | "tstzrange" => format!("[{day},{}-12-31)", 2100 + n),
        "text" | "varchar" | "citext" | "name" | "bpchar" | "char" => words(kind, name, n),
        _ => return None,
    };
    Some(text)
}

fn number(kind: &Kind, n: usize) -> String {
    let whole = kind.size.unwrap_or(12).saturating_sub(kind.scale);
    let limit = u32::try_from(whole.min(9)).map_or(1, |digits| 10_usize.pow(digits));
    let scale = kind.scale.min(2);
    if scale == 0 { (n % limit).to_string() } else { format!("{}.{:0scale$}", n % limit, 5) }
}

fn bits(size: usize, n: usize) -> String {
    let all = format!("{n:0size$b}");
    all[all.len() - size..].to_owned()
}

/// Lower-case letters and digits, which most patterns allow; the number is at the end and is kept longest.
fn words(kind: &Kind, name: &str, n: usize) -> String {
    let letters: String = name.chars().filter(char::is_ascii_alphanumeric).take(12).collect();
    let whole = format!("{}{n}", letters.to_ascii_lowercase());
    let room = kind.size.unwrap_or(40);
    if whole.len() <= room {
        return whole;
    }
    let short = short(n);
    short[short.len().saturating_sub(room)..].to_owned()
}

/// A number in as few letters as possible.
fn short(n: usize) -> String {
    const DIGITS: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
    let mut rest = n;
    let mut text = String::new();
    loop {
        text.insert(0, char::from(DIGITS[rest % DIGITS.len()]));
        rest /= DIGITS.len();
        if rest == 0 {
            return text;
        }
    }
}

/// Other values for a column that a condition mentions: what the condition itself names, and the usual suspects.
pub(super) fn choices(column: &Column, conditions: &[&str], n: usize) -> Vec<Option<String>> {
    let mut found: Vec<Option<String>> = Vec::new();
    if !column.required {
        found.push(None);
    }
    let literals: Vec<String> = conditions.iter().flat_map(|text| literals(text)).collect();
    let numbers = || literals.iter().filter(|l| l.parse::<i64>().is_ok()).cloned();
    let mut add = |values: Vec<String>| found.extend(values.into_iter().map(Some));
    if column.kind.is_array {
        add(vec!["{}".to_owned()]);
        return found;
    }
    match column.kind.name.as_str() {
        "int2" | "int4" | "int8" | "numeric" | "integer" | "bigint" | "smallint" | "float8" => {
            add(numbers().collect());
            add(["0", "1", "2", "-1"].map(str::to_owned).to_vec());
        }
        "bool" | "boolean" => add(["true", "false"].map(str::to_owned).to_vec()),
        "text" | "varchar" | "citext" | "bpchar" | "char" => {
            let room = column.kind.size.unwrap_or(4_000);
            let usual = ["", "a", "{}"].map(str::to_owned);
            add(literals.iter().chain(&usual).filter(|text| text.len() <= room).cloned().collect());
            let lengths = numbers().filter_map(|number| number.parse::<usize>().ok());
            add(lengths.filter(|length| (1..=room.min(600)).contains(length)).map(|l| long(l, n)).collect());
        }
        "bytea" => {
            let lengths = numbers().filter_map(|number| number.parse::<usize>().ok());
            let bytes = |length: usize| {
                format!("\\x{}", format!("{n:02x}").repeat(length)).chars().take(2 + 2 * length).collect()
            };
            add(lengths.chain([1]).filter(|length| (1..=256).contains(length)).map(bytes).collect());
        }
        "date" | "timestamp" | "timestamptz" => {
            let is_date =
                |literal: &&String| literal.len() >= 10 && literal.starts_with(|c: char| c.is_ascii_digit());
            add(literals.iter().filter(is_date).cloned().collect());
            add(["2020-02-02", "2030-03-03"].map(str::to_owned).to_vec());
        }
        "json" | "jsonb" => add(["{}", "[]", "null"].map(str::to_owned).to_vec()),
        _ => {}
    }
    found.sort();
    found.dedup();
    found
}

/// Text of exactly this length.
fn long(length: usize, n: usize) -> String {
    let digits = n.to_string();
    let tail = &digits[digits.len().saturating_sub(length)..];
    format!("{}{tail}", "a".repeat(length - tail.len()))
}

/// Quoted texts and numbers in a condition.
fn literals(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (index, piece) in text.split('\'').enumerate() {
        if index % 2 == 1 {
            found.push(piece.to_owned());
            continue;
        }
        let words = piece.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'));
        found.extend(words.filter(|word| word.parse::<i64>().is_ok()).map(str::to_owned));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_value(name: &str, size: Option<usize>, n: usize, expected: &str) {
        let kind = Kind { name: name.to_owned(), size, ..Kind::default() };
        let column = Column { name: "Code".to_owned(), kind, ..Column::default() };
        assert_eq!(value(&column, n, true).as_deref(), Some(expected));
    }

    #[test]
    fn values_fit_their_types() {
        assert_value("varchar", Some(6), 12, "code12");
        assert_value("varchar", Some(2), 12, "m");
        assert_value("varchar", Some(1), 27, "b");
        assert_value("numeric", Some(2), 123, "23");
        assert_value("bit", Some(3), 10, "010");
        assert_value("uuid", None, 255, "00000000-0000-4000-8000-0000000000ff");
    }

    #[test]
    fn a_condition_names_the_values_it_wants() {
        assert_eq!(literals("((kind = ANY (ARRAY['a b'::text, 'c'])) OR n2 > 31)"), ["a b", "c", "31"]);
    }
}
