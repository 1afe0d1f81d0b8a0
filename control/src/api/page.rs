//! Pages of lists: sizes are coerced, tokens are opaque and good only for the list and the filter that they came
//! from.

use std::{
    fmt::{Debug, Write as _},
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use crate::{
    app::Error,
    limits::{PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX},
};

/// Longest token: the longest cursor is a host's name.
const TOKEN_BYTES_MAX: usize = 1_024;

/// One page of a list.
pub(super) struct Page {
    /// Items of the page
    pub(super) size: u32,
    /// Where it starts; none = at the beginning
    pub(super) cursor: Option<String>,
    list: u64,
}

impl Page {
    /// Reads what a request says of a list and its filter.
    pub(super) fn of(
        list: &str,
        filter: &impl Debug,
        size: i32,
        token: &str,
    ) -> Result<Self, Error> {
        let size = match u32::try_from(size) {
            Err(_) => return Err(Error::field("page_size", "is negative")),
            Ok(0) => PAGE_SIZE_DEFAULT,
            Ok(size) => size.min(PAGE_SIZE_MAX),
        };
        let mut hasher = DefaultHasher::new();
        (list, format!("{filter:?}")).hash(&mut hasher);
        let list = hasher.finish();
        let cursor = if token.is_empty() {
            None
        } else {
            Some(cursor(list, token)?)
        };
        Ok(Self { size, cursor, list })
    }

    /// At most so many.
    pub(super) fn at_most(mut self, max: u32) -> Self {
        self.size = self.size.min(max);
        self
    }

    /// Where it starts, in a list that counts down.
    pub(super) fn before(&self) -> Result<u64, Error> {
        match &self.cursor {
            None => Ok(u64::MAX),
            Some(cursor) => cursor.parse().map_err(|_| foreign()),
        }
    }

    /// The token of the next page; empty where this one is not full.
    pub(super) fn next(&self, len: usize, last: Option<impl ToString>) -> String {
        match last {
            Some(last) if len >= self.size as usize => {
                let plain = format!("{:016x}{}", self.list, last.to_string());
                plain.bytes().fold(String::new(), |mut hex, byte| {
                    // Writing into a String cannot fail.
                    let _infallible = write!(hex, "{byte:02x}");
                    hex
                })
            }
            _ => String::new(),
        }
    }
}

fn cursor(list: u64, token: &str) -> Result<String, Error> {
    let plain = unhex(token).ok_or_else(foreign)?;
    let (from, cursor) = plain.split_at_checked(16).ok_or_else(foreign)?;
    match u64::from_str_radix(from, 16) {
        Ok(from) if from == list => Ok(cursor.to_owned()),
        _ => Err(foreign()),
    }
}

fn unhex(token: &str) -> Option<String> {
    if token.len() > TOKEN_BYTES_MAX || !token.len().is_multiple_of(2) || !token.is_ascii() {
        return None;
    }
    let bytes: Option<Vec<u8>> = (0..token.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(token.get(at..at + 2)?, 16).ok())
        .collect();
    String::from_utf8(bytes?).ok()
}

fn foreign() -> Error {
    Error::field(
        "page_token",
        "is not from this list with this filter; start again without it",
    )
}

#[cfg(test)]
mod tests {
    //! A token is good for its own list and filter, and hostile ones are refused.

    use super::*;

    #[test]
    fn foreign_and_hostile_tokens_are_refused() {
        let token = Page::of("grants", &"alice", 1, "")
            .unwrap()
            .next(1, Some(7));
        for (list, filter) in [("grants", "bob"), ("holds", "alice")] {
            assert!(
                Page::of(list, &filter, 1, &token).is_err(),
                "{list} {filter}"
            );
        }
        for hostile in [
            "0",
            "zz",
            "\u{fc}\u{fc}",
            "ff",
            &"00".repeat(2_000),
            &token[..20],
        ] {
            assert!(
                Page::of("grants", &"alice", 1, hostile).is_err(),
                "{hostile}"
            );
        }
        assert!(Page::of("grants", &"alice", -1, "").is_err());
    }

    #[test]
    fn a_page_that_is_not_full_is_the_last() {
        let page = Page::of("grants", &(), 2, "").unwrap();
        assert_eq!(page.next(1, Some(7)), "");
        let next = Page::of("grants", &(), 2, &page.next(2, Some(7))).unwrap();
        assert_eq!(next.before().unwrap(), 7);
        assert_eq!(
            Page::of("grants", &(), i32::MAX, "").unwrap().size,
            PAGE_SIZE_MAX
        );
    }
}
