//! The format of `allowed_signers`, and who counts as one person.

use super::*;

const KEY: &str = "ssh-ed25519 AAAAkim";

fn parse(text: &str) -> Result<Signers, Fault> {
    Signers::parse(text, "approvers", &|local| Some(local - 3_600))
}

fn person(text: &str, key: &str) -> Result<Person, String> {
    parse(text).unwrap().person(key, "unseed-approval", 1_000_000_000)
}

#[test]
fn lines_with_options_quotes_and_comments_are_read() {
    let text = "# who may approve\n\n  kim@example.org ssh-ed25519 AAAAkim kim's laptop\n\
        lee@example.org,lee namespaces=\"git,unseed-*\",valid-after=\"19700102\",VALID-BEFORE=20400101Z ssh-rsa AAAAlee\n\
        \"sam o@example.org\"\tecdsa-sha2-nistp256 AAAA+/==\n";
    assert_eq!(parse(text).unwrap().people(), 3);
    assert_eq!(person(text, KEY).unwrap().name, "kim@example.org");
    assert_eq!(person(text, "ssh-rsa AAAAlee").unwrap().names, ["lee", "lee@example.org"]);
    assert_eq!(person(text, "ecdsa-sha2-nistp256 AAAA+/==").unwrap().name, "sam o@example.org");
    assert_eq!(person(text, "ssh-ed25519 AAAAeve").unwrap_err(), "its key is not in the list of signers");
}

#[test]
fn namespaces_bind_a_key() {
    for (patterns, good) in [
        ("unseed-approval", true),
        ("git,unseed-?pproval", true),
        ("git", false),
        ("*,!unseed-approval", false),
        ("!git", false),
    ] {
        let text = format!("kim namespaces=\"{patterns}\" {KEY}");
        assert_eq!(person(&text, KEY).is_ok(), good, "{patterns}");
    }
}

#[test]
fn a_key_is_valid_from_after_until_before() {
    // 1,000,000,000 is 2001-09-09T01:46:40Z; local time is an hour ahead of UTC here.
    for (option, good) in [
        ("valid-after=20010909014640Z", true),
        ("valid-after=20010909014641Z", false),
        ("valid-before=20010909014641Z", true),
        ("valid-before=20010909014640Z", false),
        ("valid-after=\"20010909024640\"", true),
        ("valid-after=\"20010909024641\"", false),
        ("valid-after=200109090146Z", true),
        ("valid-after=20010910", false),
    ] {
        let text = format!("kim {option} {KEY}");
        assert_eq!(person(&text, KEY).is_ok(), good, "{option}");
    }
}

#[test]
fn one_person_stays_one_by_name_by_key_and_through_others() {
    let number = |text: &str, key: &str| person(text, key).unwrap().number;
    let two_keys = "kim ssh-rsa AAAA1\nKIM ssh-rsa AAAA2\nlee ssh-rsa AAAA3\n";
    assert_eq!(number(two_keys, "ssh-rsa AAAA1"), number(two_keys, "ssh-rsa AAAA2"));
    assert_ne!(number(two_keys, "ssh-rsa AAAA1"), number(two_keys, "ssh-rsa AAAA3"));
    assert_eq!(parse("kim ssh-rsa AAAA1\nlee ssh-rsa AAAA1\n").unwrap().people(), 1);
    let chain = "kim ssh-rsa AAAA1\nlee ssh-rsa AAAA3\nlee,sam ssh-rsa AAAA2\nsam,kim ssh-rsa AAAA4\n";
    assert_eq!(parse(chain).unwrap().people(), 1);
}

#[test]
fn a_line_that_cannot_be_understood_is_named() {
    for (line, says) in [
        ("*@example.org ssh-rsa AAAA", "is a pattern"),
        ("kim", "is no type of key"),
        ("kim ssh-rsa", "the key is missing"),
        ("kim ssh-rsa A*A", "not in base64"),
        ("kim valid-after=2001 ssh-rsa AAAA", "is no time"),
        ("kim valid-after=20019909 ssh-rsa AAAA", "is no time"),
        ("kim no-touch-required ssh-rsa AAAA", "unknown"),
        ("kim namespaces=\"git ssh-rsa AAAA", "not closed"),
        ("kim, ssh-rsa AAAA", "empty"),
        ("kim namespaces=a,namespaces=b ssh-rsa AAAA", "twice"),
    ] {
        let fault = parse(&format!("# one\n{line}\n")).expect_err(line);
        assert!(
            fault.message.starts_with("`approvers` line 2: ") && fault.message.contains(says),
            "{}",
            fault.message
        );
    }
}

#[test]
fn a_key_of_certificates_does_not_sign_for_itself() {
    let text = format!("ca cert-authority {KEY}");
    assert!(person(&text, KEY).unwrap_err().contains("certificates"));
}
