//! Protobuf messages as trees, without their schema.

use bolero::Driver;
use prost::encoding::{decode_varint, encode_varint};

use super::{Dice, many, words};

#[derive(Clone)]
struct Field {
    number: u64,
    value: Value,
}

#[derive(Clone)]
enum Value {
    Varint(u64),
    Fixed64([u8; 8]),
    Fixed32([u8; 4]),
    Bytes(Vec<u8>),
    Message(Vec<Field>),
}

/// Deeper than any message of ours.
const DEPTH_MAX: usize = 8;

/// The message with one to three changes; what is no message stays as it is.
pub fn changed<D: Driver>(message: &[u8], dice: &mut Dice<'_, D>) -> Vec<u8> {
    let Some(mut fields) = parse(message, 0) else {
        return message.to_vec();
    };
    for _ in 0..=dice.below(3) {
        change(&mut fields, dice);
    }
    let mut bytes = Vec::new();
    encode(&fields, &mut bytes);
    bytes
}

fn parse(mut bytes: &[u8], depth: usize) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = decode_varint(&mut bytes).ok()?;
        let value = match key & 7 {
            0 => Value::Varint(decode_varint(&mut bytes).ok()?),
            1 => Value::Fixed64(take(&mut bytes)?),
            5 => Value::Fixed32(take(&mut bytes)?),
            2 => {
                let length = usize::try_from(decode_varint(&mut bytes).ok()?).ok()?;
                let (inner, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                inner_value(inner, depth)
            }
            _ => return None,
        };
        fields.push(Field {
            number: key >> 3,
            value,
        });
    }
    Some(fields)
}

/// Texts are often messages too, by their bytes: they stay texts.
fn inner_value(inner: &[u8], depth: usize) -> Value {
    let is_text = inner.iter().all(|it| (0x20..0x7f).contains(it));
    let message = (!is_text && depth < DEPTH_MAX)
        .then(|| parse(inner, depth + 1))
        .flatten();
    message.map_or_else(|| Value::Bytes(inner.to_vec()), Value::Message)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

fn encode(fields: &[Field], bytes: &mut Vec<u8>) {
    for Field { number, value } in fields {
        let kind = match value {
            Value::Varint(_) => 0,
            Value::Fixed64(_) => 1,
            Value::Bytes(_) | Value::Message(_) => 2,
            Value::Fixed32(_) => 5,
        };
        encode_varint(number << 3 | kind, bytes);
        match value {
            Value::Varint(number) => encode_varint(*number, bytes),
            Value::Fixed64(fixed) => bytes.extend_from_slice(fixed),
            Value::Fixed32(fixed) => bytes.extend_from_slice(fixed),
            Value::Bytes(inner) => {
                encode_varint(inner.len() as u64, bytes);
                bytes.extend_from_slice(inner);
            }
            Value::Message(inner) => {
                let mut encoded = Vec::new();
                encode(inner, &mut encoded);
                encode_varint(encoded.len() as u64, bytes);
                bytes.extend_from_slice(&encoded);
            }
        }
    }
}

fn size(field: &Field) -> usize {
    let mut bytes = Vec::new();
    encode(std::slice::from_ref(field), &mut bytes);
    bytes.len()
}

/// One change, here or further down.
fn change<D: Driver>(fields: &mut Vec<Field>, dice: &mut Dice<'_, D>) {
    let at = dice.below(fields.len() + 1);
    let Some(field) = fields.get_mut(at) else {
        let (number, value) = (1 + dice.below(12) as u64, value(dice));
        return fields.push(Field { number, value });
    };
    if let Value::Message(inner) = &mut field.value
        && !dice.one_in(4)
    {
        return change(inner, dice);
    }
    match dice.below(10) {
        0 => drop(fields.remove(at)),
        1 | 2 => {
            let copies = vec![field.clone(); many(size(field), dice)];
            fields.splice(at..at, copies);
        }
        3 => field.number = dice.below(14) as u64,
        4 => field.value = Value::Message(vec![field.clone()]),
        5 => field.value = value(dice),
        _ => like(&mut field.value, dice),
    }
}

/// Another value of the same kind.
fn like<D: Driver>(old: &mut Value, dice: &mut Dice<'_, D>) {
    match old {
        Value::Varint(number) => *number = *dice.of(words::NUMBERS),
        Value::Fixed64(fixed) => *fixed = dice.of(&[f64::NAN, f64::INFINITY, -0.0, 1e308, -1.0]).to_le_bytes(),
        Value::Fixed32(fixed) => *fixed = dice.of(&[f32::NAN, -1.0]).to_le_bytes(),
        Value::Bytes(inner) if dice.one_in(2) => super::bytes(inner, &[], dice),
        Value::Bytes(inner) => *inner = dice.of(words::TEXTS).as_bytes().to_vec(),
        Value::Message(inner) => change(inner, dice),
    }
}

fn value<D: Driver>(dice: &mut Dice<'_, D>) -> Value {
    match dice.below(4) {
        0 => Value::Varint(*dice.of(words::NUMBERS)),
        1 => Value::Fixed64(dice.of(words::NUMBERS).to_le_bytes()),
        2 => Value::Fixed32([*dice.of(words::BYTES); 4]),
        _ => Value::Bytes(dice.of(words::TEXTS).as_bytes().to_vec()),
    }
}
