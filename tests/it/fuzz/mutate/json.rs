//! JSON documents as trees.

use bolero::Driver;
use serde_json::{Value, json};

use super::{Dice, many, words};

/// The document with one to three changes; what is no JSON stays as it is.
pub fn changed<D: Driver>(document: &[u8], dice: &mut Dice<'_, D>) -> Vec<u8> {
    let Ok(mut tree) = serde_json::from_slice(document) else {
        return document.to_vec();
    };
    for _ in 0..=dice.below(3) {
        change(&mut tree, dice);
    }
    tree.to_string().into_bytes()
}

/// One change, here or further down.
fn change<D: Driver>(tree: &mut Value, dice: &mut Dice<'_, D>) {
    let here = dice.one_in(8);
    match tree {
        Value::Array(items) if !here => {
            let at = dice.below(items.len() + 1);
            let Some(item) = items.get_mut(at) else {
                return items.push(value(dice));
            };
            match dice.below(8) {
                0 => drop(items.remove(at)),
                1 => {
                    let copies = vec![item.clone(); many(item.to_string().len(), dice)];
                    items.splice(at..at, copies);
                }
                _ => change(item, dice),
            }
        }
        Value::Object(fields) if !here => {
            let at = dice.below(fields.len() + 1);
            let Some(name) = fields.keys().nth(at).cloned() else {
                fields.insert((*dice.of(words::TEXTS)).to_owned(), value(dice));
                return;
            };
            match dice.below(8) {
                0 => drop(fields.remove(&name)),
                1 => {
                    let moved = fields.remove(&name).unwrap_or_default();
                    fields.insert((*dice.of(words::TEXTS)).to_owned(), moved);
                }
                _ => {
                    if let Some(field) = fields.get_mut(&name) {
                        change(field, dice);
                    }
                }
            }
        }
        _ => like(tree, dice),
    }
}

/// Another value, mostly of the same kind.
fn like<D: Driver>(old: &mut Value, dice: &mut Dice<'_, D>) {
    *old = match old {
        Value::Number(_) if !dice.one_in(4) => number(dice),
        Value::String(text) if dice.one_in(2) => {
            let mut bytes = std::mem::take(text).into_bytes();
            super::bytes(&mut bytes, &[], dice);
            String::from_utf8_lossy(&bytes).into_owned().into()
        }
        Value::String(_) if !dice.one_in(3) => (*dice.of(words::TEXTS)).into(),
        Value::Bool(truth) if dice.one_in(2) => (!*truth).into(),
        Value::Object(_) | Value::Array(_) if dice.one_in(2) => json!([old.clone(), old]),
        _ => value(dice),
    };
}

fn number<D: Driver>(dice: &mut Dice<'_, D>) -> Value {
    let number = *dice.of(words::NUMBERS);
    match dice.below(4) {
        0 => json!(number.cast_signed()),
        1 => json!([0.5, -0.0, 1e308, 5e-324, 3.0][dice.below(5)]),
        2 => json!(dice.below(40)),
        _ => json!(number),
    }
}

fn value<D: Driver>(dice: &mut Dice<'_, D>) -> Value {
    match dice.below(9) {
        0 => Value::Null,
        1 => json!(dice.one_in(2)),
        2 => json!([]),
        3 => json!({}),
        4 => (0..dice.below(40)).fold(Value::Null, |inner, _| json!([inner])),
        5 => (0..dice.below(40)).fold(Value::Null, |inner, _| json!({ "a": inner })),
        6 => number(dice),
        _ => (*dice.of(words::TEXTS)).into(),
    }
}
