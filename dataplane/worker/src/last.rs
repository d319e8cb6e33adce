//! What the packet before was for.

/// The last thing looked up, and under which key. The next packet mostly is for the same, and that it is the processor
/// foresees: it need not wait for one look-up after the other.
pub(crate) struct Last<K, V>(Option<(K, V)>);

impl<K: Copy + PartialEq, V: Copy> Last<K, V> {
    /// Nothing yet.
    pub(crate) const fn new() -> Self {
        Self(None)
    }

    /// What is under this key: the same as last, or what `look_up` finds, kept if it is something.
    #[inline(always)]
    pub(crate) fn find<E>(&mut self, key: K, look_up: impl FnOnce() -> Result<V, E>) -> Result<V, E> {
        if let Some((last, value)) = self.0
            && last == key
        {
            return Ok(value);
        }
        let value = look_up()?;
        self.0 = Some((key, value));
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_find_is_kept_under_its_key() {
        let mut last = Last::new();
        assert_eq!(last.find(1, || Err(())), Err(()));
        assert_eq!(last.find(1, || Ok::<_, ()>(10)), Ok(10));
        assert_eq!(last.find(2, || Err(())), Err(()));
        assert_eq!(last.find(1, || Err(())), Ok(10));
        assert_eq!(last.find(2, || Ok::<_, ()>(20)), Ok(20));
        assert_eq!(last.find(1, || Ok::<_, ()>(11)), Ok(11));
    }
}
