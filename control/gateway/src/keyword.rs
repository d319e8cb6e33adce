//! Fields that take one word out of a fixed list.

use std::fmt;

use crate::diagnostic::Refusal;

/// A value that is written as one word out of a fixed list.
pub trait Keyword: Copy + Eq + Sized + 'static {
    /// Every word and what it stands for, in the order in which they are shown.
    const WORDS: &'static [(&'static str, Self)];

    /// The value a word stands for.
    ///
    /// # Errors
    /// [`UnknownKeyword`] with the words that exist, when this is none of them.
    fn from_word(word: &str) -> Result<Self, UnknownKeyword> {
        Self::WORDS
            .iter()
            .find(|(known, _)| *known == word)
            .map(|&(_, value)| value)
            .ok_or_else(UnknownKeyword::of::<Self>)
    }

    /// The word that stands for this value.
    fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, value)| *value == self).map_or("", |(word, _)| word)
    }
}

/// A word that is not in the list of its field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownKeyword {
    allowed: Vec<&'static str>,
}

impl UnknownKeyword {
    pub(crate) fn of<K: Keyword>() -> Self {
        Self { allowed: K::WORDS.iter().map(|(word, _)| *word).collect() }
    }
}

impl fmt::Display for UnknownKeyword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is not known")
    }
}

impl Refusal for UnknownKeyword {
    fn allowed(&self) -> String {
        self.allowed.join(", ")
    }
}

/// Declares an enum whose variants are words, with the list and `Display` made from one table.
macro_rules! keywords {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant),* }

        impl $crate::keyword::Keyword for $name {
            const WORDS: &'static [(&'static str, Self)] = &[$(($word, Self::$variant)),*];
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str($crate::keyword::Keyword::word(*self))
            }
        }
    };
}
pub(crate) use keywords;
