//! A map as two sorted lists: small code, stable order, fast enough for the hundreds that a client holds. The
//! keys lie apart and the values in boxes, so that all maps share one search, one insertion and one removal.

use alloc::{boxed::Box, vec::Vec};
use core::{
    marker::PhantomData,
    slice::{Iter, IterMut},
};

#[derive(Clone, Debug)]
pub(crate) struct Table<K, V> {
    keys: Vec<u32>,
    values: Vec<Box<V>>,
    key: PhantomData<K>,
}

/// A number in a newtype, or bare.
pub(crate) trait Key: Copy {
    fn to_number(self) -> u32;
    fn from_number(number: u32) -> Self;
}

impl Key for u32 {
    fn to_number(self) -> u32 {
        self
    }
    fn from_number(number: u32) -> Self {
        number
    }
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { keys: Vec::new(), values: Vec::new(), key: PhantomData }
    }
}

#[inline(never)]
fn find(keys: &[u32], key: u32) -> Result<usize, usize> {
    // Keys mostly grow, so what is asked for is mostly new.
    match keys.last() {
        Some(last) if *last < key => Err(keys.len()),
        _ => keys.binary_search(&key),
    }
}

impl<K: Key, V> Table<K, V> {
    fn find(&self, key: K) -> Result<usize, usize> {
        find(&self.keys, key.to_number())
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        match self.find(key) {
            Ok(at) => {
                if let Some(slot) = self.values.get_mut(at) {
                    **slot = value;
                }
            }
            Err(at) => {
                self.keys.insert(at, key.to_number());
                self.values.insert(at, Box::new(value));
            }
        }
    }

    pub(crate) fn remove(&mut self, key: K) -> Option<V> {
        let at = self.find(key).ok()?;
        self.keys.remove(at);
        Some(*self.values.remove(at))
    }

    pub(crate) fn get(&self, key: K) -> Option<&V> {
        self.values.get(self.find(key).ok()?).map(|value| &**value)
    }

    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        let at = self.find(key).ok()?;
        self.values.get_mut(at).map(|value| &mut **value)
    }

    pub(crate) fn values(&self) -> Iter<'_, Box<V>> {
        self.values.iter()
    }

    pub(crate) fn values_mut(&mut self) -> IterMut<'_, Box<V>> {
        self.values.iter_mut()
    }

    /// The keys of the values that `which` picks, ascending; a copy, so that the table may change meanwhile.
    pub(crate) fn keys_where(&self, which: &mut dyn FnMut(&V) -> bool) -> Vec<K> {
        let mut picked = Vec::new();
        for (key, value) in self.keys.iter().zip(&self.values) {
            if which(value) {
                picked.push(K::from_number(*key));
            }
        }
        picked
    }

    pub(crate) fn clear(&mut self) {
        self.keys.clear();
        self.values.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }
}
