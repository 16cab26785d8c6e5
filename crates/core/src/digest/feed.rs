//! Feed: a value, told to SHA-256 without being written out first.
//!
//! Plans compare tens of thousands of values per call, so the bytes are few and nothing is
//! allocated for them. The rule that keeps digests apart: for one type, no value's bytes are the
//! beginning of another's. Numbers are as long as they need to be and say where they end, texts
//! carry their length, every element of a list announces itself, and enums tell the name of their
//! variant, so that reordering variants changes no digest.

use std::fmt::{self, Write as _};

use serde::ser::{self, Serialize};
use sha2::{Digest as _, Sha256};

/// Bytes that are kept before they are hashed.
const BUFFER: usize = 4 * 64;

pub(super) struct Feed {
    /// None while everything fits into the buffer, as most values do.
    hash: Option<Sha256>,
    buffer: [u8; BUFFER],
    used: usize,
    /// For values that only print themselves.
    scratch: String,
}

impl Default for Feed {
    fn default() -> Self {
        Self { hash: None, buffer: [0; BUFFER], used: 0, scratch: String::new() }
    }
}

impl Feed {
    /// SHA-256 of all that was told.
    pub fn finish(self) -> [u8; 32] {
        let rest = &self.buffer[..self.used];
        match self.hash {
            Some(hash) => hash.chain_update(rest).finalize().into(),
            None => Sha256::digest(rest).into(),
        }
    }

    fn flush(&mut self) {
        self.hash.get_or_insert_default().update(&self.buffer[..self.used]);
        self.used = 0;
    }

    fn put(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(BUFFER) {
            if self.used + part.len() > BUFFER {
                self.flush();
            }
            self.buffer[self.used..self.used + part.len()].copy_from_slice(part);
            self.used += part.len();
        }
    }

    fn put_known<const N: usize>(&mut self, bytes: &[u8; N]) {
        if self.used + N > BUFFER {
            self.flush();
        }
        self.buffer[self.used..self.used + N].copy_from_slice(bytes);
        self.used += N;
    }

    /// Most of what is told is a byte or two: worth a way without a copy of unknown length.
    fn byte(&mut self, byte: u8) {
        if self.used == BUFFER {
            self.flush();
        }
        self.buffer[self.used] = byte;
        self.used += 1;
    }

    /// Seven bits a byte, lowest first; the highest bit says that more follow.
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.byte(number as u8 | 0x80);
            number >>= 7;
        }
        self.byte(number as u8);
    }

    fn text(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.put(bytes);
    }
}

/// A value that refuses to be serialised; none of ours does.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refused(String);

impl ser::Error for Refused {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self(text.to_string())
    }
}

type Fed = Result<(), Refused>;

macro_rules! numbers {
    ($($method:ident $kind:ty => $as:expr;)*) => {
        $(fn $method(self, value: $kind) -> Fed {
            let bits: fn($kind) -> u64 = $as;
            self.number(bits(value));
            Ok(())
        })*
    };
}

/// Small negative numbers stay short: 0, -1, 1, -2 are told as 0, 1, 2, 3.
const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

impl ser::Serializer for &mut Feed {
    type Ok = ();
    type Error = Refused;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    fn is_human_readable(&self) -> bool {
        false
    }

    numbers! {
        serialize_bool bool => u64::from;
        serialize_u8 u8 => u64::from;
        serialize_u16 u16 => u64::from;
        serialize_u32 u32 => u64::from;
        serialize_u64 u64 => |value| value;
        serialize_char char => |value| u64::from(u32::from(value));
        serialize_i8 i8 => |value| zigzag(value.into());
        serialize_i16 i16 => |value| zigzag(value.into());
        serialize_i32 i32 => |value| zigzag(value.into());
        serialize_i64 i64 => zigzag;
        serialize_f32 f32 => |value| u64::from(value.to_bits());
        serialize_f64 f64 => f64::to_bits;
    }
    fn serialize_i128(self, value: i128) -> Fed {
        self.put(&value.to_le_bytes());
        Ok(())
    }
    fn serialize_u128(self, value: u128) -> Fed {
        self.put(&value.to_le_bytes());
        Ok(())
    }
    fn serialize_str(self, value: &str) -> Fed {
        self.text(value.as_bytes());
        Ok(())
    }
    fn serialize_bytes(self, value: &[u8]) -> Fed {
        match <&[u8; 16]>::try_from(value) {
            // Digests: a copy of known length is no call.
            Ok(digest) => {
                self.number(16);
                self.put_known(digest);
            }
            Err(_) => self.text(value),
        }
        Ok(())
    }
    fn collect_str<T: ?Sized + fmt::Display>(self, value: &T) -> Fed {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        write!(scratch, "{value}").map_err(ser::Error::custom)?;
        self.text(scratch.as_bytes());
        self.scratch = scratch;
        Ok(())
    }
    fn serialize_none(self) -> Fed {
        self.byte(0);
        Ok(())
    }
    fn serialize_some<T: ?Sized + Serialize>(self, value: &T) -> Fed {
        self.byte(1);
        value.serialize(self)
    }
    fn serialize_unit(self) -> Fed {
        Ok(())
    }
    fn serialize_unit_struct(self, _: &'static str) -> Fed {
        Ok(())
    }
    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Fed {
        self.text(variant.as_bytes());
        Ok(())
    }
    fn serialize_newtype_struct<T: ?Sized + Serialize>(self, _: &'static str, value: &T) -> Fed {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Fed {
        self.text(variant.as_bytes());
        value.serialize(self)
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Refused> {
        Ok(self)
    }
    fn serialize_tuple(self, _: usize) -> Result<Self, Refused> {
        Ok(self)
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Refused> {
        Ok(self)
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self, Refused> {
        self.text(variant.as_bytes());
        Ok(self)
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Self, Refused> {
        Ok(self)
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Refused> {
        Ok(self)
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self, Refused> {
        self.text(variant.as_bytes());
        Ok(self)
    }
}

/// Lists and maps: a one before every element, a nought at the end.
impl ser::SerializeSeq for &mut Feed {
    type Ok = ();
    type Error = Refused;
    fn serialize_element<T: ?Sized + Serialize>(&mut self, value: &T) -> Fed {
        self.byte(1);
        value.serialize(&mut **self)
    }
    fn end(self) -> Fed {
        self.byte(0);
        Ok(())
    }
}

impl ser::SerializeMap for &mut Feed {
    type Ok = ();
    type Error = Refused;
    fn serialize_key<T: ?Sized + Serialize>(&mut self, key: &T) -> Fed {
        self.byte(1);
        key.serialize(&mut **self)
    }
    fn serialize_value<T: ?Sized + Serialize>(&mut self, value: &T) -> Fed {
        value.serialize(&mut **self)
    }
    fn end(self) -> Fed {
        self.byte(0);
        Ok(())
    }
}

/// Tuples: as many elements as the type says, so nothing between them.
macro_rules! elements {
    ($($of:ident $method:ident;)*) => {
        $(impl ser::$of for &mut Feed {
            type Ok = ();
            type Error = Refused;
            fn $method<T: ?Sized + Serialize>(&mut self, value: &T) -> Fed {
                value.serialize(&mut **self)
            }
            fn end(self) -> Fed {
                Ok(())
            }
        })*
    };
}
elements! {
    SerializeTuple serialize_element;
    SerializeTupleStruct serialize_field;
    SerializeTupleVariant serialize_field;
}

/// Structs: a one before every field, a nought for one that is left out.
macro_rules! fields {
    ($($of:ident)*) => {
        $(impl ser::$of for &mut Feed {
            type Ok = ();
            type Error = Refused;
            fn serialize_field<T: ?Sized + Serialize>(&mut self, _: &'static str, value: &T) -> Fed {
                self.byte(1);
                value.serialize(&mut **self)
            }
            fn skip_field(&mut self, _: &'static str) -> Fed {
                self.byte(0);
                Ok(())
            }
            fn end(self) -> Fed {
                Ok(())
            }
        })*
    };
}
fields! { SerializeStruct SerializeStructVariant }
