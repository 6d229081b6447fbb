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
}
