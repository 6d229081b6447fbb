//! Every way in which a key can be read as a pattern.
//!
//! Values may hold the delimiters that surround them, so a key can have several readings. All of them are tried, bounded
//! by the lengths that the values have and by a number of steps.

use super::{Pattern, Token};
use memchr::memmem;
use std::ops::ControlFlow;

/// Steps before a key is given up as too ambiguous.
pub(super) const STEPS_MAX: u32 = 200_000;

/// First and last byte of a field's value.
pub(super) type Span = (usize, usize);

/// How long values are, in bytes, from and up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lengths {
    pub(super) min: usize,
    pub(super) max: usize,
}

impl Lengths {
    /// Any value that is one.
    pub(super) const ANY: Self = Self { min: 1, max: usize::MAX };
    /// No value at all.
    pub(super) const NONE: Self = Self { min: usize::MAX, max: 0 };
}

/// Too many readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMany;

/// Gets the values of one reading; may end the walk.
pub(super) type VisitReading<'a> = dyn FnMut(&[u8], &[Span]) -> ControlFlow<()> + 'a;

/// Visits every reading of a text; a member stands behind `boundary`.
pub(super) fn readings(
    pattern: &Pattern,
    (text, boundary): (&[u8], usize),
    lengths: &[Lengths],
    visit: &mut VisitReading<'_>,
) -> Result<(), TooMany> {
    let mut walk = Walk {
        text,
        boundary,
        lengths,
        spans: vec![None; pattern.fields.len()],
        open: pattern.fields.len(),
        steps: STEPS_MAX,
        visit,
    };
    match walk.go(&pattern.tokens, 0, boundary) {
        Step::On | Step::Ended => Ok(()),
        Step::TooMany => Err(TooMany),
    }
}

/// Whether a text can be read as the pattern at all, whatever the values.
pub(super) fn fits(pattern: &Pattern, text: &[u8], boundary: usize) -> Result<bool, TooMany> {
    let lengths = vec![Lengths::ANY; pattern.fields.len()];
    let mut found = false;
    readings(pattern, (text, boundary), &lengths, &mut |_, _| {
        found = true;
        ControlFlow::Break(())
    })?;
    Ok(found)
}

/// Whether a key can be read as the key of a pattern with a member.
pub(super) fn key_fits(pattern: &Pattern, key: &[u8]) -> bool {
    let end = pattern.tokens.iter().position(|token| *token == Token::Boundary);
    let tokens = &pattern.tokens[..end.unwrap_or(pattern.tokens.len())];
    let mut spans = vec![None; pattern.fields.len()];
    // Only the fields that stand in the key can be bound by it.
    let mut open = 0;
    for (number, span) in spans.iter_mut().enumerate() {
        if tokens.contains(&Token::Field(number)) {
            open += 1;
        } else {
            *span = Some((0, 0));
        }
    }
    let lengths = vec![Lengths::ANY; pattern.fields.len()];
    let mut found = false;
    let mut visit = |_: &[u8], _: &[Span]| {
        found = true;
        ControlFlow::Break(())
    };
    let mut walk = Walk {
        text: key,
        boundary: key.len(),
        lengths: &lengths,
        spans,
        open,
        steps: STEPS_MAX,
        visit: &mut visit,
    };
    let outcome = walk.go(tokens, 0, key.len());
    // Whoever gives up has to look inside.
    found || outcome == Step::TooMany
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    On,
    Ended,
    TooMany,
}

struct Walk<'a, 'v> {
    text: &'a [u8],
    boundary: usize,
    lengths: &'a [Lengths],
    spans: Vec<Option<Span>>,
    /// Fields without a value so far.
    open: usize,
    steps: u32,
    visit: &'v mut VisitReading<'v>,
}

impl Walk<'_, '_> {
    /// Reads `tokens` from `at`; the part of the text, key or member, ends at `end`.
    fn go(&mut self, tokens: &[Token], at: usize, end: usize) -> Step {
        let Some(steps) = self.steps.checked_sub(1) else { return Step::TooMany };
        self.steps = steps;
        if self.open == 0 {
            return if self.rest_fits(tokens, at, end) { self.reading() } else { Step::On };
        }
        let Some((token, rest)) = tokens.split_first() else { return Step::On };
        match token {
            Token::Literal(text) if self.text[at..end].starts_with(text) => {
                self.go(rest, at + text.len(), end)
            }
            Token::Literal(_) => Step::On,
            Token::Boundary if at == self.boundary => self.go(rest, at, self.text.len()),
            Token::Boundary => Step::On,
            Token::Any => self.any(rest, at, end),
            Token::Field(number) => match self.spans[*number] {
                Some((from, to)) if self.text[at..end].starts_with(&self.text[from..to]) => {
                    self.go(rest, at + (to - from), end)
                }
                Some(_) => Step::On,
                None => self.field(*number, rest, at, end),
            },
        }
    }

    fn reading(&mut self) -> Step {
        let spans: Vec<Span> = self.spans.iter().flatten().copied().collect();
        match (self.visit)(self.text, &spans) {
            ControlFlow::Continue(()) => Step::On,
            ControlFlow::Break(()) => Step::Ended,
        }
    }

    /// Tries every end of `*`.
    fn any(&mut self, rest: &[Token], at: usize, end: usize) -> Step {
        match self.anchor(rest) {
            None => self.go(rest, end, end),
            Some(anchor) => self.each(&anchor, (at, end), |walk, found| walk.go(rest, found, end)),
        }
    }

    /// Tries every end of a field that has no value yet.
    fn field(&mut self, number: usize, rest: &[Token], at: usize, end: usize) -> Step {
        let Lengths { min, max } = self.lengths[number];
        let (Some(from), to) =
            (at.checked_add(min).filter(|from| *from <= end), at.saturating_add(max).min(end))
        else {
            return Step::On;
        };
        let take = |walk: &mut Self, found: usize| {
            if found > to {
                return Step::On;
            }
            walk.spans[number] = Some((at, found));
            walk.open -= 1;
            let step = walk.go(rest, found, end);
            walk.spans[number] = None;
            walk.open += 1;
            step
        };
        match self.anchor(rest) {
            None => take(self, end),
            Some(anchor) => {
                let last = to.saturating_add(anchor.len()).min(end);
                self.each(&anchor, (from, last), take)
            }
        }
    }

    /// The text that must follow: a literal, or a value that is known already; nothing at the end of a part.
    fn anchor(&self, rest: &[Token]) -> Option<Vec<u8>> {
        match rest.first()? {
            Token::Literal(text) => Some(text.clone()),
            Token::Field(number) => self.spans[*number].map(|(from, to)| self.text[from..to].to_vec()),
            Token::Any | Token::Boundary => None,
        }
    }

    /// Goes on from every place of `anchor` in the range, also where they overlap.
    fn each(
        &mut self,
        anchor: &[u8],
        (from, end): (usize, usize),
        mut go_on: impl FnMut(&mut Self, usize) -> Step,
    ) -> Step {
        let mut from = from;
        while from <= end
            && let Some(found) = memmem::find(&self.text[from..end], anchor)
        {
            let Some(steps) = self.steps.checked_sub(1) else { return Step::TooMany };
            self.steps = steps;
            match go_on(self, from + found) {
                Step::On => from += found + 1,
                stop @ (Step::Ended | Step::TooMany) => return stop,
            }
        }
        Step::On
    }

    /// Whether what is left, without an open field, fits: the first place of each piece is as good as any later one.
    fn rest_fits(&self, tokens: &[Token], mut at: usize, mut end: usize) -> bool {
        let mut tokens = tokens;
        let mut floating = false;
        loop {
            let Some((token, rest)) = tokens.split_first() else { return floating || at == end };
            match token {
                Token::Any => floating = true,
                Token::Boundary => {
                    if !(floating || at == end) || end != self.boundary {
                        return false;
                    }
                    (at, end, floating) = (self.boundary, self.text.len(), false);
                }
                Token::Literal(_) | Token::Field(_) => {
                    let (piece, after) = self.piece(tokens);
                    let is_last = after.is_empty() || after.first() == Some(&Token::Boundary);
                    let part = &self.text[at..end];
                    let found = match (floating, is_last) {
                        (false, _) => part.starts_with(&piece).then_some(0),
                        (true, true) => part.ends_with(&piece).then(|| part.len() - piece.len()),
                        (true, false) => memmem::find(part, &piece),
                    };
                    let Some(found) = found else { return false };
                    at += found + piece.len();
                    floating = false;
                    tokens = after;
                    continue;
                }
            }
            tokens = rest;
        }
    }

    /// The fixed text that the next tokens make together, and what follows it.
    fn piece<'t>(&self, tokens: &'t [Token]) -> (Vec<u8>, &'t [Token]) {
        let mut piece = Vec::new();
        for (number, token) in tokens.iter().enumerate() {
            match token {
                Token::Literal(text) => piece.extend_from_slice(text),
                Token::Field(field) => {
                    let (from, to) = self.spans[*field].unwrap_or_default();
                    piece.extend_from_slice(&self.text[from..to]);
                }
                Token::Any | Token::Boundary => return (piece, &tokens[number..]),
            }
        }
        (piece, &[])
    }
}
