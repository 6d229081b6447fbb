//! Splits identifiers of tables and columns into comparable words.
//!
//! `createdAt`, `created_at`, `CREATED-AT` and `CreatedAt` all become `created at`; the last word can be
//! turned into its singular, so that `auth_users`, `User` and `app_user` speak of the same thing.
//!
//! Invariants
//! - words are lower case and never empty;
//! - digits stay with the word before them, since `oauth2` is one word.
//!
//! Not here: what the words mean (`role`, `fields`), words in row values (`detect::text`).

/// The words of an identifier, in order.
pub fn split(identifier: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let letters: Vec<char> = identifier.chars().collect();
    for (i, letter) in letters.iter().enumerate() {
        if !letter.is_alphanumeric() {
            finish(&mut word, &mut words);
            continue;
        }
        if letter.is_uppercase() && starts_word(&letters, i) {
            finish(&mut word, &mut words);
        }
        word.extend(letter.to_lowercase());
    }
    finish(&mut word, &mut words);
    words
}

/// A capital starts a word after a small letter (`createdAt`) and before one (`HTMLPage`).
fn starts_word(letters: &[char], i: usize) -> bool {
    let after_small = i > 0 && (letters[i - 1].is_lowercase() || letters[i - 1].is_numeric());
    let before_small =
        i > 0 && letters[i - 1].is_uppercase() && letters.get(i + 1).is_some_and(|c| c.is_lowercase());
    after_small || before_small
}

fn finish(word: &mut String, words: &mut Vec<String>) {
    if !word.is_empty() {
        words.push(std::mem::take(word));
    }
}

/// The singular of an English noun, near enough for table names.
pub fn singular(word: &str) -> String {
    match word {
        "people" | "persons" => return "person".to_owned(),
        "children" => return "child".to_owned(),
        "staff" | "status" | "address" | "access" | "business" | "process" => return word.to_owned(),
        _ => {}
    }
    if let Some(stem) = word.strip_suffix("ies") {
        return format!("{stem}y");
    }
    for ending in ["sses", "xes", "ches", "shes"] {
        if word.ends_with(ending) {
            return word[..word.len() - 2].to_owned();
        }
    }
    match word.strip_suffix('s') {
        Some(stem) if word.len() > 3 && !word.ends_with("ss") => stem.to_owned(),
        Some(_) | None => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_gives_the_same_words() {
        for spelling in ["created_at", "createdAt", "CreatedAt", "CREATED_AT", "created-at"] {
            assert_eq!(split(spelling), ["created", "at"], "{spelling}");
        }
        assert_eq!(split("HTMLPage"), ["html", "page"]);
        assert_eq!(split("oauth2Token"), ["oauth2", "token"]);
    }

    #[test]
    fn plurals_become_singular_and_other_words_stay() {
        let pairs =
            [("companies", "company"), ("users", "user"), ("businesses", "business"), ("status", "status")];
        for (many, one) in pairs {
            assert_eq!(singular(many), one);
        }
    }
}
