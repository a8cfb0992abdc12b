//! Finds the COMMITs in what a client of PostgreSQL says, and the answers to them, however the stream is cut into pieces.

use std::collections::HashSet;

/// Longer texts are not a COMMIT, and are not kept.
const TEXT_BYTES_MAX: usize = 4 << 10;

/// What a client says.
#[derive(Default)]
pub struct Commits {
    /// The first message has no type.
    begun: bool,
    /// What of the message under way is kept.
    message: Vec<u8>,
    /// Bytes of it that are still to come and not to be kept.
    skip: usize,
    /// Prepared statements, and portals, that are a COMMIT.
    statements: HashSet<Vec<u8>>,
    portals: HashSet<Vec<u8>>,
}

impl Commits {
    /// Hears a piece; whether a COMMIT ends in it.
    pub fn hear(&mut self, mut piece: &[u8]) -> bool {
        let mut found = false;
        while !piece.is_empty() {
            let passed = self.skip.min(piece.len());
            self.skip -= passed;
            piece = &piece[passed..];
            let wanted = self.wanted() - self.message.len();
            let (taken, rest) = piece.split_at(wanted.min(piece.len()));
            self.message.extend_from_slice(taken);
            piece = rest;
            found |= self.message.len() == self.wanted() && self.end();
        }
        found
    }

    /// How long what is kept must be before something can be said: a head, then all of it.
    fn wanted(&self) -> usize {
        let kind = usize::from(self.begun);
        match self.message.get(kind..kind + 4) {
            Some(length) if self.keeps() => kind + bytes(length),
            _ => kind + 4,
        }
    }

    fn keeps(&self) -> bool {
        let kind = usize::from(self.begun);
        let length = self.message.get(kind..kind + 4).map_or(0, bytes);
        length <= TEXT_BYTES_MAX && (!self.begun || b"QPBEC".contains(&self.message[0]))
    }

    /// The head, or the whole message, is there; whether it is a COMMIT.
    fn end(&mut self) -> bool {
        let kind = usize::from(self.begun);
        let length = self.message.get(kind..kind + 4).map_or(0, bytes);
        if self.keeps() && self.message.len() < kind + length {
            return false;
        }
        self.skip = (kind + length).saturating_sub(self.message.len());
        let message = std::mem::take(&mut self.message);
        if !self.begun {
            // A question for encryption (its code is 1234 in the upper half) comes before the first message, and has the same form.
            self.begun = message.get(4..6) != Some(&[4, 210]);
            return false;
        }
        self.understand(message[0], message.get(5..).unwrap_or_default())
    }

    fn understand(&mut self, kind: u8, body: &[u8]) -> bool {
        let mut texts = body.split(|byte| *byte == 0).map(<[u8]>::to_vec);
        let mut text = || texts.next().unwrap_or_default();
        match kind {
            b'Q' => ends_with_commit(&text()),
            b'P' => {
                let (name, sql) = (text(), text());
                remember(&mut self.statements, name, ends_with_commit(&sql));
                false
            }
            b'B' => {
                let (portal, statement) = (text(), text());
                let is_commit = self.statements.contains(&statement);
                remember(&mut self.portals, portal, is_commit);
                false
            }
            b'E' => self.portals.contains(&text()),
            _ => false,
        }
    }
}

/// What a server answers.
#[derive(Default)]
pub struct Answers {
    /// The end of what was heard, as long as a sign may have begun in it.
    tail: Vec<u8>,
}

/// CommandComplete, its length, its tag.
const COMMITTED: &[u8] = b"C\0\0\0\x0bCOMMIT\0";

impl Answers {
    /// Hears a piece; whether the answer to a COMMIT ends in it.
    pub fn hear(&mut self, piece: &[u8]) -> bool {
        self.tail.extend_from_slice(piece);
        let found = self.tail.windows(COMMITTED.len()).any(|it| it == COMMITTED);
        let keep = if found { 0 } else { COMMITTED.len() - 1 };
        self.tail.drain(..self.tail.len().saturating_sub(keep));
        found
    }
}

fn remember(names: &mut HashSet<Vec<u8>>, name: Vec<u8>, is_commit: bool) {
    if is_commit {
        names.insert(name);
    } else {
        names.remove(&name);
    }
}

/// Several statements may be sent as one text; what counts is how it ends.
fn ends_with_commit(sql: &[u8]) -> bool {
    let sql = String::from_utf8_lossy(sql);
    let last = sql.trim_end_matches([';', ' ', '\n']).rsplit(';').next();
    last.is_some_and(|it| it.trim().eq_ignore_ascii_case("commit"))
}

fn bytes(length: &[u8]) -> usize {
    length.iter().fold(0, |sum, byte| (sum << 8) | usize::from(*byte))
}

#[test]
fn commits_are_found_in_any_pieces() {
    let message = |kind: &[u8], body: &[u8]| {
        let length = u32::try_from(body.len() + 4).unwrap();
        [kind, &length.to_be_bytes(), body].concat()
    };
    let big = vec![0; 3 * TEXT_BYTES_MAX];
    let quiet = [
        message(b"", &[4, 210, 22, 47]),
        message(b"", b"\0\x03\0\0user\0COMMIT\0\0"),
        message(b"Q", b"SELECT 'COMMIT'\0"),
        message(b"d", &big),
        message(b"P", b"s1\0COMMIT\0\0\0"),
        message(b"B", b"\0s1\0\0\0\0\0\0\0"),
    ];
    let loud = [
        message(b"Q", b"COMMIT\0"),
        message(b"Q", b"INSERT INTO t VALUES (1); commit;\0"),
        message(b"E", b"\0\0\0\0\0"),
    ];
    for size in [1, 2, 3, 5, 7, 64, usize::MAX] {
        let mut commits = Commits::default();
        for (messages, expected) in [(&quiet[..], false), (&loud, true), (&quiet[2..4], false)] {
            for message in messages {
                let pieces = message.chunks(size.min(message.len()));
                let found = pieces.fold(false, |found, piece| found | commits.hear(piece));
                assert_eq!(found, expected, "{message:?} in pieces of {size}");
            }
        }
    }
    let mut answers = Answers::default();
    assert!(!answers.hear(b"Z\0\0\0\x05TC\0\0\0\x0bCOM"));
    assert!(answers.hear(b"MIT\0Z\0\0\0\x05I"));
    assert!(!answers.hear(b"C\0\0\0\x0bINSERT\0"));
}
