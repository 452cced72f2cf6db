//! The content of lists and maps.

use serde::de::{DeserializeSeed, MapAccess, SeqAccess};

use super::Typed;
use super::key::Key;
use crate::experiment::parse_error::{ParseError, at};
use crate::experiment::tree::Node;

/// The items of a list that are not read yet.
pub(super) struct Items<'a, 'de> {
    pub(super) rest: &'a mut std::slice::Iter<'de, Node>,
    pub(super) context: Typed<'de>,
}

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = ParseError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ParseError> {
        let context = self.context;
        self.rest.next().map(|node| at(node, seed.deserialize(context.with(node)))).transpose()
    }
}

/// One value that stands for several.
pub(super) struct Repeated<'de> {
    pub(super) value: Typed<'de>,
    pub(super) left: usize,
}

impl<'de> SeqAccess<'de> for Repeated<'de> {
    type Error = ParseError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ParseError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(self.value).map(Some)
    }
}

/// The entries of a map that are not read yet.
pub(super) struct Entries<'de> {
    pub(super) rest: std::slice::Iter<'de, (String, Node)>,
    pub(super) pending: Option<&'de Node>,
    pub(super) context: Typed<'de>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = ParseError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ParseError> {
        let Some((key, node)) = self.rest.next() else { return Ok(None) };
        self.pending = Some(node);
        let key = Key { key, labels: self.context.labels };
        seed.deserialize(key).map(Some).map_err(|error| error.or_at(|| node.key_location()))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ParseError> {
        let node = self.pending.take().expect("serde reads a value after its key");
        at(node, seed.deserialize(self.context.with(node)))
    }
}
