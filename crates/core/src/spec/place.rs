//! Places: where in the YAML text each value stands, by its path such as `environments[0].host`.
//!
//! The text is read a second time into a tree that keeps locations; so the types that people's
//! values go into stay free of them. That reading takes longer than the first, so it waits until
//! somebody asks for a place: a file without mistakes is read once.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

/// Byte ranges of every value and key of a YAML text, by path; found when the first is asked for.
#[derive(Debug)]
pub struct Spans<'t> {
    text: &'t str,
    places: OnceCell<Places>,
}

impl<'t> Spans<'t> {
    /// The places of `text`; none if it cannot be read (then the typed reading told why).
    pub(super) fn of(text: &'t str) -> Self {
        Self { text, places: OnceCell::new() }
    }

    fn places(&self) -> &Places {
        self.places.get_or_init(|| Places::read(self.text, super::options()))
    }

    /// Bytes of the value at `path`; if it is not written, of the nearest mapping around it that
    /// is: of its key, since a mapping itself may be long.
    pub fn find(&self, path: &str) -> Option<Range<usize>> {
        self.places().find(path)
    }

    /// Bytes of the key at `path`, else what [`Spans::find`] says.
    pub fn find_key(&self, path: &str) -> Option<Range<usize>> {
        self.places().keys.get(path).cloned().or_else(|| self.find(path))
    }
}

#[derive(Debug, Default)]
struct Places {
    values: HashMap<String, Range<usize>>,
    keys: HashMap<String, Range<usize>>,
}

impl Places {
    fn read(text: &str, options: serde_saphyr::Options) -> Self {
        let mut places = Self::default();
        if let Ok(root) = serde_saphyr::from_str_with_options::<Spanned<Node>>(text, options) {
            places.walk(text, String::new(), &root);
        }
        places
    }

    fn walk(&mut self, text: &str, path: String, node: &Spanned<Node>) {
        match &node.value {
            Node::Leaf => {}
            Node::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.walk(text, format!("{path}[{index}]"), item);
                }
            }
            Node::Map(entries) => {
                for (key, value) in entries {
                    let dot = if path.is_empty() { "" } else { "." };
                    let inner = format!("{path}{dot}{}", key.value);
                    if let Some(range) = range_of(text, &key.referenced) {
                        self.keys.insert(inner.clone(), range);
                    }
                    self.walk(text, inner, value);
                }
            }
        }
        if let Some(range) = range_of(text, &node.referenced) {
            self.values.insert(path, range);
        }
    }

    fn find(&self, path: &str) -> Option<Range<usize>> {
        if let Some(range) = self.values.get(path) {
            return Some(self.keys.get(path).filter(|_| range.is_empty()).unwrap_or(range).clone());
        }
        let mut rest = path;
        while let Some(end) = rest.rfind(['.', '[']) {
            rest = &rest[..end];
            if let Some(range) = self.keys.get(rest).or_else(|| self.values.get(rest)) {
                return Some(range.clone());
            }
        }
        None
    }
}

/// The bytes of a location, cut to one line and never inside a character.
pub(super) fn range_of(text: &str, location: &Location) -> Option<Range<usize>> {
    if location.line() == 0 {
        return None;
    }
    let span = location.span();
    let start = match span.byte_offset() {
        Some(offset) => usize::try_from(offset).ok()?,
        None => {
            let line = usize::try_from(location.line()).ok()?.saturating_sub(1);
            let column = usize::try_from(location.column()).ok()?.saturating_sub(1);
            let line_start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
            line_start + text.get(line_start..)?.chars().take(column).map(char::len_utf8).sum::<usize>()
        }
    };
    let mut start = start.min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let mut end = start.saturating_add(usize::try_from(span.byte_len().unwrap_or(0)).ok()?).min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let line_end = text[start..].find(['\n', '\r']).map_or(text.len(), |at| start + at);
    Some(start..end.min(line_end).max(start))
}

/// A YAML value without its contents.
#[derive(Debug)]
enum Node {
    Leaf,
    List(Vec<Spanned<Node>>),
    Map(Vec<(Spanned<String>, Spanned<Node>)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }
    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Leaf)
    }
    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Leaf)
    }
    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Leaf)
    }
    fn visit_i128<E: de::Error>(self, _: i128) -> Result<Node, E> {
        Ok(Node::Leaf)
    }
    fn visit_u128<E: de::Error>(self, _: u128) -> Result<Node, E> {
        Ok(Node::Leaf)
    }
    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Leaf)
    }
    fn visit_str<E: de::Error>(self, _: &str) -> Result<Node, E> {
        Ok(Node::Leaf)
    }
    fn visit_bytes<E: de::Error>(self, _: &[u8]) -> Result<Node, E> {
        Ok(Node::Leaf)
    }
    fn visit_unit<E: de::Error>(self) -> Result<Node, E> {
        Ok(Node::Leaf)
    }
    fn visit_none<E: de::Error>(self) -> Result<Node, E> {
        Ok(Node::Leaf)
    }
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }
    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Map(entries))
    }
    fn visit_enum<A: de::EnumAccess<'de>>(self, data: A) -> Result<Node, A::Error> {
        let (_, variant) = data.variant::<IgnoredAny>()?;
        de::VariantAccess::newtype_variant::<IgnoredAny>(variant)?;
        Ok(Node::Leaf)
    }
}
