//! Records of both forms, and what is said of them.

use super::output::Style;
use super::*;
use serde_json::Value;

fn options() -> Options {
    Options { form: None, kind: Entity::User, thresholds: Thresholds::default(), rules: Arc::default() }
}

#[track_caller]
fn told(text: &[u8]) -> Vec<(u64, String)> {
    let mut written = Vec::new();
    let mut output = Output::new(&mut written, Style::Programs);
    run(text, &options(), &mut output).unwrap();
    output.flush();
    let lines = std::str::from_utf8(&written).unwrap().lines();
    let values = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    values.map(|v| (v["line"].as_u64().unwrap(), v["verdict"].as_str().unwrap().to_owned())).collect()
}

fn verdicts(list: &[&str]) -> Vec<(u64, String)> {
    (1..).zip(list.iter().map(|word| (*word).to_owned())).collect()
}

#[test]
fn csv_and_ndjson_say_the_same() {
    let csv = "kind,name,slug,email\r\ntenant,Test Tenant 1712345678,test-1712345678,a@example.com\r\n\
        user,\"Okafor, Maria\",,maria@brennan.com\r\ntenant,\"Demo \"\"X\"\"\",demo,";
    let ndjson = r#"{"kind":"tenant","name":"Test Tenant 1712345678","slug":"test-1712345678","email":"a@example.com"}
{"kind":"user","name":"Okafor, Maria","email":"maria@brennan.com","more":{"a":[1,2]}}

{"kind":"tenant","name":"Demo \"X\"","slug":"demo","email":null}"#;
    assert_eq!(told(csv.as_bytes()), told(ndjson.as_bytes()));
    assert_eq!(told(csv.as_bytes())[..2], verdicts(&["test", "real"]));
}

#[test]
fn flags_numbers_and_split_names_are_understood() {
    let ndjson = r#"{"firstName":"Maria","last_name":"Okafor","is_test":true,"created_at":1712345678}
{"first_name":"Test","last_name":"User 17","email":"x@brennan.com"}"#;
    assert_eq!(told(ndjson.as_bytes()), verdicts(&["test", "test"]));
}

#[test]
fn hostile_records_are_read_in_one_piece_and_none_ends_the_run() {
    let mut csv = b"name,email\n".to_vec();
    csv.extend_from_slice(b"\xff\xfe\x00,a@b\xff.c\n\"a\nb\",x@y.z\n");
    csv.extend_from_slice("x".repeat(1_000_000).as_bytes());
    csv.extend_from_slice(format!(",a@{}com\n\"", "x.".repeat(10_000)).as_bytes());
    assert_eq!(told(&csv).len(), 4);
}

#[test]
fn what_cannot_be_read_is_named() {
    let fault = |text: &str| {
        run(text.as_bytes(), &options(), &mut Output::new(Vec::new(), Style::Programs)).unwrap_err()
    };
    assert!(fault("{\"name\":\"a\"}\n{oops}\n").message.contains("record 2"));
    assert!(fault("a,b\n1,2\n").message.contains("none of the columns"));
    assert!(fault("name,email,Name\nx,y,z\n").message.contains("two columns are called `Name`"));
    assert!(fault("{\"a\":1}\n{\"kind\":\"user\"}\n").message.contains("no record holds a value"));
}

fn faulted(from: impl std::io::Read) -> String {
    run(from, &options(), &mut Output::new(std::io::sink(), Style::Programs)).unwrap_err().message
}

#[test]
fn marks_line_ends_and_encodings_are_told_apart() {
    let plain = "name,email\nTest User 5,a@example.com\n";
    let expected = verdicts(&["test"]);
    for csv in [plain.to_owned(), format!("\u{feff}{plain}"), plain.replace('\n', "\r\n")] {
        assert_eq!(told(csv.as_bytes()), expected, "{csv:?}");
    }
    let object = "{\"name\":\"Test User 5\",\"email\":\"a@example.com\"}";
    for ndjson in [object.to_owned(), format!("\u{feff}{object}\r\n\r\n")] {
        assert_eq!(told(ndjson.as_bytes()), expected, "{ndjson:?}");
    }
    let wide = |mark: &str| format!("{mark}{plain}").encode_utf16().collect::<Vec<u16>>();
    for mark in ["\u{feff}", ""] {
        let little: Vec<u8> = wide(mark).into_iter().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = wide(mark).into_iter().flat_map(u16::to_be_bytes).collect();
        assert!(faulted(little.as_slice()).contains("UTF-16"));
        assert!(faulted(big.as_slice()).contains("UTF-16"));
    }
}

#[test]
fn a_file_without_records_is_none_and_columns_that_play_no_part_are_named() {
    for (text, records, ignored) in [
        ("", 0, ""),
        ("\n", 0, ""),
        ("name,plan,notes\n", 0, "plan, notes"),
        ("{\"name\":\"a\",\"x\":[]}", 1, "x"),
    ] {
        let mut output = Output::new(Vec::new(), Style::Programs);
        let seen = run(text.as_bytes(), &options(), &mut output);
        if text == "\n" {
            assert!(seen.unwrap_err().message.contains("none of the columns"));
        } else {
            assert_eq!(seen.unwrap(), Seen { records, ignored: ignored.to_owned() }, "{text:?}");
        }
    }
}

/// Gives the same bytes without end, and counts them.
struct Endless<'a> {
    bytes: &'a [u8],
    given: usize,
}

impl std::io::Read for Endless<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let first = self.given == 0;
        for slot in buffer.iter_mut() {
            *slot = self.bytes[self.given % self.bytes.len()];
            self.given += 1;
        }
        if first {
            buffer[..12].copy_from_slice(b"name,email\n\"");
        }
        assert!(self.given < 40 << 20, "it goes on reading");
        Ok(buffer.len())
    }
}

#[test]
fn quotes_that_nobody_closes_and_lines_without_an_end_are_one_fault_in_bounded_memory() {
    for bytes in [&b"a,b\n"[..], b"\"\"a\n", b"xyz", b"\"\"", b"\0", b" "] {
        assert!(faulted(Endless { bytes, given: 0 }).contains("longer than 16 MiB"), "{bytes:?}");
    }
}

#[test]
fn lists_within_lists_are_passed_over_however_deep() {
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let maps = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    let ndjson = format!(
        "{{\"more\":{deep},\"name\":\"Test User 5\",\"email\":\"a@example.com\"}}\n\
         {{\"name\":{deep},\"email\":\"a@example.com\"}}\n{{\"x\":{maps},\"email\":{maps},\"name\":\"Test User 5\"}}"
    );
    assert_eq!(told(ndjson.as_bytes()), verdicts(&["test", "test", "test"]));
    let never_closed = format!("{{\"name\":\"a\",\"x\":{}", "[".repeat(1_000_000));
    assert!(faulted(never_closed.as_bytes()).contains("record 1 is no JSON object"));
}
