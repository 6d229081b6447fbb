//! Filler text: words of Cicero's *De finibus*, as every generator of filler cuts them.
//!
//! Two such words are also a wine or a choir; three in a row, and nothing else, are no name.

use super::lexicon::WordSet;
use super::text::Kind;
use super::{Detector, Found, Group, Subject};
use std::sync::LazyLock;

pub(super) const DETECTOR: Detector =
    Detector { id: "name.lorem", title: "name cut from filler text", group: Group::Name, examine };

static WORDS: LazyLock<WordSet> = LazyLock::new(|| WordSet::new(LIST.split_whitespace()));

/// The words of the passage that filler is made of.
const LIST: &str = "\
    lorem ipsum dolor sit amet consectetur consectetuer adipisicing adipisci adipiscing elit sed do eiusmod tempor \
    incididunt ut labore et dolore magna aliqua enim ad minim veniam quis nostrud exercitation ullamco laboris nisi \
    aliquip ex ea commodo consequat duis aute irure in reprehenderit voluptate velit esse cillum eu fugiat nulla \
    pariatur excepteur sint occaecat cupidatat non proident sunt culpa qui officia deserunt mollit anim id est laborum \
    perspiciatis unde omnis iste natus error voluptatem accusantium doloremque laudantium totam rem aperiam eaque ipsa \
    quae ab illo inventore veritatis quasi architecto beatae vitae dicta explicabo nemo ipsam quia voluptas aspernatur \
    aut odit fugit consequuntur magni dolores eos ratione sequi nesciunt neque porro quisquam dolorem quaerat eius modi \
    tempora incidunt magnam aliquam minima nostrum exercitationem ullam corporis suscipit laboriosam aliquid commodi \
    consequatur autem vel eum iure quam nihil molestiae illum quo at vero accusamus iusto odio dignissimos ducimus \
    blanditiis praesentium voluptatum deleniti atque corrupti quos quas molestias excepturi occaecati cupiditate \
    provident similique mollitia animi harum quidem rerum facilis expedita distinctio nam libero tempore cum soluta \
    nobis eligendi optio cumque impedit minus quod maxime placeat facere possimus assumenda repellendus temporibus \
    quibusdam officiis debitis necessitatibus saepe eveniet voluptates repudiandae recusandae itaque earum hic tenetur \
    sapiente delectus reiciendis voluptatibus maiores alias perferendis doloribus asperiores repellat";

fn examine(subject: &Subject<'_>) -> Option<Found> {
    let words = &subject.words.name;
    if words.tokens.len() < 2 || !words.iter().all(|(t, word)| t.kind == Kind::Word && WORDS.contains(word)) {
        return None;
    }
    let begins = words.joined().starts_with("loremipsum") || words.joined().starts_with("dolorsitamet");
    let long = words.iter().filter(|(_, word)| word.len() >= 4).count();
    let weight = match words.tokens.len() {
        3.. if begins || long >= 2 => 6.2,
        3.. => 4.0,
        _ => 3.0,
    };
    Some(Found::new(weight, "name is cut from filler text"))
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::super::record::Context;
    use super::*;

    #[test]
    fn filler_is_found_and_latin_names_are_not() {
        let weigh = |name: &str| check::weight(&DETECTOR, &check::tenant(name, "", ""), &Context::default());
        for name in
            ["Lorem ipsum dolor", "Vel Sequi Voluptas", "dolor sit amet consectetur", "Quidem Rerum Facilis."]
        {
            assert!(weigh(name) > 6.0, "{name}");
        }
        assert!(weigh("Rerum Natura").abs() < 1e-9 && weigh("Magna Carta Wines").abs() < 1e-9);
        assert!(weigh("Alias").abs() < 1e-9 && weigh("Libero Rosso Vino").abs() < 1e-9);
        assert!(weigh("Optio Maxime") < 4.0);
    }
}
