//! Inputs: seeds that were changed, by what they are made of and by their bytes.

mod json;
mod proto;
mod words;

use std::{fmt, ops::Bound};

use bolero::{Driver, ValueGenerator};

/// What an input is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A protobuf message.
    Proto,
    /// A JSON document.
    Json,
    /// A line of text, such as a header.
    Text,
    /// Anything.
    Bytes,
    /// Headers, an empty line, and a JSON document.
    Answer,
}

/// The largest input: what grows is cut there. A report of the most items is about as large.
const BYTES_MAX: usize = 1 << 20;

/// Inputs that are tried together.
#[derive(Clone)]
pub struct Batch(pub Vec<Vec<u8>>);

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} inputs", self.0.len())
    }
}

/// Makes batches out of seeds.
pub struct Mutants {
    /// What they are made of.
    pub kind: Kind,
    /// What is changed.
    pub seeds: Vec<Vec<u8>>,
    /// So many at a time.
    pub at_once: usize,
}

impl ValueGenerator for Mutants {
    type Output = Batch;

    fn generate<D: Driver>(&self, driver: &mut D) -> Option<Batch> {
        let mut dice = Dice(driver);
        Some(Batch((0..self.at_once).map(|_| self.one(&mut dice)).collect()))
    }
}

impl Mutants {
    fn one<D: Driver>(&self, dice: &mut Dice<'_, D>) -> Vec<u8> {
        let (seed, other) = (dice.of(&self.seeds).clone(), dice.of(&self.seeds));
        let mut input = match self.kind {
            Kind::Proto => proto::changed(&seed, dice),
            Kind::Json => json::changed(&seed, dice),
            Kind::Answer => answer(&seed, dice),
            Kind::Text | Kind::Bytes => seed,
        };
        let plain = matches!(self.kind, Kind::Text | Kind::Bytes);
        // What is built by its kind goes on whole more often than not: else hardly anything would come past the decoders.
        if plain || dice.one_in(4) {
            for _ in 0..=dice.below(3) {
                bytes(&mut input, other, dice);
            }
        }
        input.truncate(BYTES_MAX);
        input
    }
}

/// Headers stay mostly as they are, the document does not.
fn answer<D: Driver>(seed: &[u8], dice: &mut Dice<'_, D>) -> Vec<u8> {
    let end = seed
        .windows(2)
        .position(|it| it == b"\n\n")
        .map_or(seed.len(), |at| at + 2);
    let (mut head, body) = (seed[..end].to_vec(), &seed[end..]);
    if dice.one_in(4) {
        bytes(&mut head, seed, dice);
    }
    head.extend(json::changed(body, dice));
    head
}

/// Chooses, as the engine wants.
pub struct Dice<'a, D>(&'a mut D);

impl<D: Driver> Dice<'_, D> {
    /// A number below this one, which is not 0.
    fn below(&mut self, end: usize) -> usize {
        let end = u32::try_from(end).unwrap_or(u32::MAX);
        self.0
            .gen_u32(Bound::Included(&0), Bound::Excluded(&end))
            .map_or(0, |it| it as usize)
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn of<'s, T>(&mut self, items: &'s [T]) -> &'s T {
        &items[self.below(items.len())]
    }
}

/// One change of bytes.
fn bytes<D: Driver>(input: &mut Vec<u8>, other: &[u8], dice: &mut Dice<'_, D>) {
    let at = dice.below(input.len() + 1);
    let span = at..(at + dice.below(32)).min(input.len());
    match dice.below(9) {
        0 => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << dice.below(8);
            }
        }
        1 => {
            if let Some(byte) = input.get_mut(at) {
                *byte = *dice.of(words::BYTES);
            }
        }
        2 => insert(input, at, dice.of(words::TEXTS).as_bytes()),
        3 => drop(input.drain(span)),
        4 => {
            let piece = input[span].to_vec();
            insert(input, at, &piece);
        }
        5 => input.truncate(at),
        6 => {
            input.truncate(at);
            input.extend_from_slice(&other[dice.below(other.len() + 1)..]);
        }
        7 => {
            let number = dice.of(words::NUMBERS).to_le_bytes();
            let width = (1 << dice.below(4)).min(input.len() - at);
            input[at..at + width].copy_from_slice(&number[..width]);
        }
        _ => {
            let piece = input[span.clone()].repeat(many(span.len(), dice));
            insert(input, at, &piece);
        }
    }
}

/// How often something of this size is repeated: a few times, and seldom as often as it takes to be at a limit.
fn many<D: Driver>(size: usize, dice: &mut Dice<'_, D>) -> usize {
    let room = BYTES_MAX / size.max(1);
    let count = match dice.below(200) {
        0 => 50_001,
        1..=3 => 1_000 + dice.below(4_000),
        _ => 2 + dice.below(6),
    };
    count.min(room)
}

fn insert(input: &mut Vec<u8>, at: usize, piece: &[u8]) {
    let room = BYTES_MAX.saturating_sub(input.len());
    input.splice(at..at, piece.iter().copied().take(room));
}
