//! Rows as `COPY … (FORMAT binary)` takes them (PostgreSQL's manual, COPY, "Binary Format"). Written by hand, since the values are
//! of a few kinds, and 30,000 rows a batch are worth it.

use std::{net::IpAddr, pin::pin};

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::SinkExt as _;

use super::{
    fault::Fault,
    line::{Line, answered},
    values::microseconds,
};
use crate::model::Time;

/// The signature, no flags, no extension.
const HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// Behind the last row.
const END: i16 = -1;

/// Bytes of one message: large enough that few are sent, small enough that the server works while more is on the way.
const MESSAGE: usize = 1 << 18;

/// Rows on their way to a table.
pub(super) struct Rows {
    buffer: BytesMut,
    columns: i16,
    count: u64,
}

impl Rows {
    /// None yet; each will have so many columns.
    pub(super) fn new(columns: i16, expected: usize) -> Self {
        let mut buffer = BytesMut::with_capacity(HEAD.len() + expected * 100);
        buffer.put_slice(HEAD);
        Self {
            buffer,
            columns,
            count: 0,
        }
    }

    /// Begins the next row; as many values follow as there are columns.
    pub(super) fn row(&mut self) -> &mut Self {
        self.buffer.put_i16(self.columns);
        self.count += 1;
        self
    }

    /// A `bigint`.
    pub(super) fn int(&mut self, value: i64) -> &mut Self {
        self.buffer.put_i32(8);
        self.buffer.put_i64(value);
        self
    }

    /// A `timestamptz`.
    pub(super) fn time(&mut self, at: Time) -> &mut Self {
        self.int(microseconds(at))
    }

    /// An `integer`.
    pub(super) fn small(&mut self, value: i32) -> &mut Self {
        self.buffer.put_i32(4);
        self.buffer.put_i32(value);
        self
    }

    /// A `boolean`.
    pub(super) fn bool(&mut self, value: bool) -> &mut Self {
        self.buffer.put_i32(1);
        self.buffer.put_u8(value.into());
        self
    }

    /// A `double precision`.
    pub(super) fn float(&mut self, value: f64) -> &mut Self {
        self.buffer.put_i32(8);
        self.buffer.put_f64(value);
        self
    }

    /// A `jsonb`, from its text: a version goes before it.
    pub(super) fn json(&mut self, text: &str) -> &mut Self {
        self.buffer.put_i32(i32::try_from(text.len() + 1).unwrap_or(i32::MAX));
        self.buffer.put_u8(1);
        self.buffer.put_slice(text.as_bytes());
        self
    }

    /// A `text`.
    pub(super) fn text(&mut self, value: &str) -> &mut Self {
        self.bytes_of(value.as_bytes())
    }

    /// A `bytea`, a `uuid`.
    pub(super) fn bytes_of(&mut self, value: &[u8]) -> &mut Self {
        // What is ours is far below 2 GiB: a request has 8 MiB.
        self.buffer.put_i32(i32::try_from(value.len()).unwrap_or(i32::MAX));
        self.buffer.put_slice(value);
        self
    }

    /// An `inet`, one address: its family (2 or 3), its bits, that it is no network, its bytes.
    pub(super) fn ip(&mut self, ip: IpAddr) -> &mut Self {
        match ip {
            IpAddr::V4(ip) => self.inet(2, &ip.octets()),
            IpAddr::V6(ip) => self.inet(3, &ip.octets()),
        }
    }

    fn inet(&mut self, family: u8, bytes: &[u8]) -> &mut Self {
        // 4 or 16 bytes.
        let length = u8::try_from(bytes.len()).unwrap_or(u8::MAX);
        self.buffer.put_i32(4 + i32::from(length));
        self.buffer.put_slice(&[family, length.saturating_mul(8), 0, length]);
        self.buffer.put_slice(bytes);
        self
    }

    /// What it takes by now.
    pub(super) fn bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Nothing.
    pub(super) fn null(&mut self) -> &mut Self {
        self.buffer.put_i32(-1);
        self
    }

    /// A `bigint`, or nothing.
    pub(super) fn maybe_int(&mut self, value: Option<i64>) -> &mut Self {
        match value {
            Some(value) => self.int(value),
            None => self.null(),
        }
    }

    /// Sends all rows by this statement.
    pub(super) async fn send(mut self, line: &Line, sql: &str) -> Result<(), Fault> {
        if self.count == 0 {
            return Ok(());
        }
        self.buffer.put_i16(END);
        let statement = line.statement(sql).await?;
        let rest = self.buffer.freeze();
        answered(async {
            let mut sink = pin!(line.client.copy_in::<_, Bytes>(&statement).await?);
            let mut rest = rest;
            while !rest.is_empty() {
                let message = rest.split_to(rest.len().min(MESSAGE));
                sink.feed(message).await?;
            }
            sink.finish().await
        })
        .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_what_the_manual_says() {
        let mut rows = Rows::new(3, 1);
        rows.row().int(7).text("ab").null();
        let (head, row) = rows.buffer.split_at(19);
        assert_eq!(head, HEAD);
        assert_eq!(row, b"\0\x03\0\0\0\x08\0\0\0\0\0\0\0\x07\0\0\0\x02ab\xff\xff\xff\xff");
    }
}
