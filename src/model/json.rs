//! JSON before it is read: how much is in it, since what it becomes in memory may be many times as large.

use std::ops::Range;

use super::entry::MAX_ITEMS;

/// The deepest JSON.
pub const DEPTH_MAX: usize = 32;

/// The longest name that an error repeats of each field on the way, in bytes.
const NAME_MAX: usize = 64;

/// How much JSON may hold in all.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Values that stand beside others.
    pub values: usize,
    /// Objects and arrays: as a tree, an object of one field is five bytes of text and over 600 of memory.
    pub containers: usize,
}

impl Room {
    /// Of a request: as many items as it may have, of ten fields each, and another object or array in each.
    pub const REQUEST: Self = Self {
        values: 10 * MAX_ITEMS,
        containers: 2 * MAX_ITEMS,
    };

    /// Of a row of the catalogue, which is a tree until it has its form, as its settings always are.
    pub const ROW: Self = Self {
        values: 2 * MAX_ITEMS,
        containers: 10_000,
    };

    /// Of what nobody has a form for, so that it becomes a tree.
    pub const TREE: Self = Self {
        values: 50_000,
        containers: 10_000,
    };
}

/// What there is too much of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TooMuch {
    /// Brackets within brackets.
    #[error("the body is nested deeper than {DEPTH_MAX}")]
    Deep,
    /// Items of one array.
    #[error("{0} must have at most {MAX_ITEMS} items")]
    Items(String),
    /// Values of any kind.
    #[error("the body must have at most {0} values")]
    Values(usize),
    /// Objects and arrays, wherever they are.
    #[error("the body must have at most {0} objects and arrays")]
    Containers(usize),
}

/// An array or an object that is open.
struct Level {
    is_array: bool,
    /// How many of its items or fields are complete.
    complete: usize,
    /// Where the name of its present field is.
    name: Range<usize>,
}

/// Whether this JSON may be read. Of a text that is none it says nothing.
pub fn bounded(text: &[u8], room: Room) -> Result<(), TooMuch> {
    let mut open: Vec<Level> = Vec::with_capacity(DEPTH_MAX);
    let (mut in_string, mut escaped, mut began, mut string) = (false, false, 0, 0..0);
    let (mut values, mut containers) = (1, 0);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' if in_string => {
                in_string = false;
                string = began..at;
            }
            _ if in_string => {}
            b'"' => {
                in_string = true;
                began = at + 1;
            }
            b':' => {
                if let Some(level) = open.last_mut() {
                    level.name = string.clone();
                }
            }
            b'{' | b'[' if open.len() == DEPTH_MAX => return Err(TooMuch::Deep),
            b'{' | b'[' => {
                containers += 1;
                if containers > room.containers {
                    return Err(TooMuch::Containers(room.containers));
                }
                open.push(Level {
                    is_array: *byte == b'[',
                    complete: 0,
                    name: 0..0,
                });
            }
            b'}' | b']' => drop(open.pop()),
            b',' => {
                values += 1;
                if let Some(level) = open.last_mut() {
                    level.complete += 1;
                    if level.is_array && level.complete >= MAX_ITEMS {
                        return Err(TooMuch::Items(path(text, &open)));
                    }
                }
                if values > room.values {
                    return Err(TooMuch::Values(room.values));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Where the innermost array is, such as `users[3].links`.
fn path(text: &[u8], open: &[Level]) -> String {
    let mut path = String::new();
    for level in &open[..open.len() - 1] {
        if level.is_array {
            path.extend(["[", &level.complete.to_string(), "]"]);
            continue;
        }
        if !path.is_empty() {
            path.push('.');
        }
        let name = &text[level.name.clone()];
        path += &String::from_utf8_lossy(&name[..name.len().min(NAME_MAX)]);
    }
    if path.is_empty() { "the body".to_owned() } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounded(text: &[u8]) -> Result<(), TooMuch> {
        super::bounded(text, Room::REQUEST)
    }

    fn array(items: usize) -> String {
        format!("[{}]", vec!["0"; items].join(","))
    }

    #[test]
    fn depth_does_not_count_strings() {
        let deep = |levels: usize| format!(r#"{{"a":"[[[[","b\"[[":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
        assert_eq!(bounded(deep(31).as_bytes()), Ok(()));
        assert_eq!(bounded(deep(32).as_bytes()), Err(TooMuch::Deep));
        assert_eq!(bounded("]".repeat(99).as_bytes()), Ok(()));
    }

    #[test]
    fn the_array_that_is_too_long_is_named() {
        for (before, after, name) in [
            (r#"{"entries":"#, "}", "entries"),
            (r#"{"x":",,","a":[{},{"b":1,"c" : "#, "}]}", "a[1].c"),
            (r#"{"a":[[],"#, "]}", "a[1]"),
            ("", "", "the body"),
        ] {
            let text = |items| format!("{before}{}{after}", array(items));
            assert_eq!(bounded(text(MAX_ITEMS).as_bytes()), Ok(()), "{before}");
            let words = bounded(text(MAX_ITEMS + 1).as_bytes()).unwrap_err().to_string();
            assert_eq!(words, format!("{name} must have at most 50000 items"));
        }
    }

    #[test]
    fn values_count_in_all() {
        let text = |arrays| format!("[{}]", vec![array(MAX_ITEMS); arrays].join(","));
        assert_eq!(bounded(text(10).as_bytes()), Ok(()));
        assert_eq!(bounded(text(11).as_bytes()), Err(TooMuch::Values(500_000)));
    }

    #[test]
    fn what_nests_counts_too() {
        let text = |chains: usize| format!("[{}]", vec![r#"{"":[{"":[]}]}"#; chains].join(","));
        assert_eq!(bounded(text(24_999).as_bytes()), Ok(()));
        assert_eq!(bounded(text(25_000).as_bytes()), Err(TooMuch::Containers(100_000)));
        let row = |chains| super::bounded(text(chains).as_bytes(), Room::ROW);
        assert_eq!(row(2_499), Ok(()));
        assert_eq!(row(2_500), Err(TooMuch::Containers(10_000)));
    }
}
