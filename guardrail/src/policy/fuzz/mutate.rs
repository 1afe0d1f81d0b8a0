//! Documents that are nearly policies: what a mutation of bytes seldom makes.

use super::{random::Random, tree::Tree};

/// Words that mean something to YAML, to this language or to what is behind it.
const WORDS: [&str; 40] = [
    "",
    "~",
    "null",
    "true",
    "no",
    "0",
    "-1",
    "1e9",
    "65536",
    "4294967296",
    "18446744073709551616",
    "0x10",
    ".inf",
    "NaN",
    "*",
    "**",
    "/",
    "/**",
    "/a//b",
    "/a/../b",
    "/*",
    "a*b*c",
    "\\*",
    "\0",
    "\u{1b}[31m",
    "\u{202e}x",
    "\u{feff}",
    "größe",
    "::/0",
    "::ffff:10.0.0.1",
    "0.0.0.0/33",
    "1-65535",
    "any",
    "999999d",
    "Sun 02:30-02:30 Europe/Berlin",
    "Fri 16:00 - Fri 16:00 UTC",
    "2026-03-29 02:30 - 2026-10-25 02:30 Europe/Berlin",
    "9999-12-31 - 9999-12-31 Pacific/Kiritimati",
    "(a{1000}){1000}",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
];
/// What YAML has and this language has not.
const SIGNS: [&str; 10] = [
    "&a ",
    "*a",
    "!!str ",
    "!<x> ",
    "---\n",
    "%YAML 1.2\n",
    "? ",
    "<<: ",
    "\r",
    "\u{85}",
];
/// Deeper than anything that is accepted.
const DEEP: usize = 40;
/// Longer than every bound of a text.
const LONG: usize = 5_000;
/// Nodes of a document beyond which it is not made larger.
const LARGE: usize = 3_000;

/// A document that differs from `source` as the seed decides; parts of `others` may be in it.
pub fn mutated(source: &str, others: &[&str], random: &mut Random) -> Vec<u8> {
    let Some(mut tree) = Tree::read(source) else {
        return signed(source.to_owned(), random);
    };
    let donor = random.of_these(others).and_then(|other| Tree::read(other));
    for _ in 0..=random.below(3) {
        change(&mut tree, donor.as_ref(), random);
    }
    let text = tree.write();
    if random.below(8) == 0 {
        return signed(text, random);
    }
    text.into_bytes()
}

/// One change of one node.
pub(in crate::policy) fn change(tree: &mut Tree, donor: Option<&Tree>, random: &mut Random) {
    let large = tree.count() > LARGE;
    let mut other = donor.cloned().unwrap_or_else(|| tree.clone());
    let number = random.below(other.count());
    let given = other.at(number).cloned();
    let number = random.below(tree.count());
    let Some(node) = tree.at(number) else { return };
    let word = random.of_these(&WORDS).copied().unwrap_or_default();
    match random.below(10) {
        0 | 1 if !large => *node = given.unwrap_or_else(|| node.clone()),
        2 => *node = Tree::Scalar(word.to_owned(), random.below(2) == 0),
        3 => *node = Tree::List(vec![node.clone()]),
        4 => {
            if let Tree::List(items) = node
                && let Some(item) = items.first().cloned()
            {
                *node = item;
            }
        }
        5 if !large => {
            for _ in 0..DEEP {
                *node = Tree::List(vec![std::mem::replace(node, Tree::List(vec![]))]);
            }
        }
        6 => text_of(node, word, random),
        _ => children(node, given, random),
    }
}

/// Changes a text: a part goes, a word comes in, or it becomes long.
fn text_of(node: &mut Tree, word: &str, random: &mut Random) {
    let Tree::Scalar(text, _) = node else { return };
    let mut places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    places.push(text.len());
    let (from, to) = (random.below(places.len()), random.below(places.len()));
    let place = |index: usize| places.get(index).copied().unwrap_or_default();
    let range = place(from.min(to))..place(from.max(to));
    match random.below(4) {
        0 => *text = text.repeat(LONG / text.len().max(1) + 1),
        1 => text.replace_range(range, word),
        2 => text.insert_str(place(from), word),
        _ => text.replace_range(range, ""),
    }
}

/// Takes a child out, puts it in twice, or puts another one in.
fn children(node: &mut Tree, given: Option<Tree>, random: &mut Random) {
    match node {
        Tree::Scalar(..) => {}
        Tree::List(items) => {
            let at = random.below(items.len());
            match (random.below(3), items.get(at).cloned()) {
                (0, Some(_)) => drop(items.remove(at)),
                (1, Some(item)) => items.push(item),
                _ => items.extend(given),
            }
        }
        Tree::Map(pairs) => {
            let at = random.below(pairs.len());
            match (random.below(4), given) {
                (0, _) if !pairs.is_empty() => drop(pairs.remove(at)),
                (1, _) => pairs.extend(pairs.get(at).cloned()),
                // Keys of another mapping, which do not belong here.
                (2, Some(Tree::Map(others))) => {
                    let other = random.below(others.len());
                    pairs.extend(others.get(other).cloned());
                }
                (_, Some(other)) => {
                    if let Some((_, value)) = pairs.get_mut(at) {
                        *value = other;
                    }
                }
                _ => {}
            }
        }
    }
}

/// Something of YAML somewhere, or the text cut off there, also inside a character.
fn signed(text: String, random: &mut Random) -> Vec<u8> {
    let mut bytes = text.into_bytes();
    let at = random.below(bytes.len() + 1);
    match random.of_these(&SIGNS) {
        Some(sign) if random.below(4) != 0 => {
            bytes.splice(at..at, sign.bytes());
        }
        _ => bytes.truncate(at),
    }
    bytes
}
