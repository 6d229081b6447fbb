//! How deep brackets stand within each other, before anybody follows them.
//!
//! The parser of TOML limits how deep it goes, but forgets that over values whose key is missing: a file of a few
//! kilobytes can take more stack than a thread has.

use std::ops::Range;
use toml_parser::Source;
use toml_parser::lexer::TokenKind;

/// No configuration needs as many.
const DEPTH_MAX: usize = 64;

/// The first bracket that stands too deep; brackets within texts and comments do not count.
///
/// A bracket that closes nothing is left to the parser: here it counts as if it were not there, so that no depth is
/// ever taken for less than it is.
pub(super) fn too_deep(text: &str) -> Option<Range<usize>> {
    let mut open = Vec::new();
    for token in Source::new(text).lex() {
        let kind = token.kind();
        if kind == TokenKind::LeftCurlyBracket {
            open.push(TokenKind::RightCurlyBracket);
        } else if kind == TokenKind::LeftSquareBracket {
            open.push(TokenKind::RightSquareBracket);
        } else if open.last() == Some(&kind) {
            open.pop();
        }
        if open.len() > DEPTH_MAX {
            return Some(token.span().start()..token.span().end());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_within_texts_or_side_by_side_is_not_deep() {
        let wide = "a = [[1, 2], {b = 3}]\n[[c]]\n[d]\n".repeat(100);
        let texts = format!("a = \"{0}\"\nb = '{0}' # {0}\nc = \"\"\"{0}\"\"\"\n", "{[".repeat(100));
        for text in ["", &wide, &texts] {
            assert_eq!(too_deep(text), None);
        }
    }

    #[test]
    fn the_first_bracket_that_is_too_deep_is_told() {
        let text = format!("a = {}", "{b = [".repeat(40));
        let at = too_deep(&text).expect("80 brackets");
        assert_eq!((at.len(), text[..at.start].matches(['{', '[']).count()), (1, DEPTH_MAX));
        for closing in ["}", "]"] {
            let text = format!("a = {}", format!("{{b = {closing}, ").repeat(80));
            assert_eq!(too_deep(&text).is_some(), closing == "]", "{text}");
        }
    }
}
