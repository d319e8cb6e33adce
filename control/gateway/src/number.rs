//! Fields that take a whole number within a range.

/// Declares numbers, each with its range, its checked constructor and its accessor.
macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident($kind:ty): $low:literal..=$high:literal, $from:ident, $get:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name($kind);

        impl $name {
            #[doc = concat!("The value of this number, ", stringify!($low), " to ", stringify!($high), ".")]
            ///
            /// # Errors
            /// [`OutOfRange`](crate::OutOfRange) for any other number.
            pub fn $from(number: i128) -> Result<Self, $crate::OutOfRange> {
                $crate::OutOfRange::check::<$kind>(number, $low, $high).map(Self)
            }

            /// The number itself.
            #[must_use]
            pub fn $get(self) -> $kind {
                self.0
            }
        }
    )*};
}
pub(crate) use numbers;
