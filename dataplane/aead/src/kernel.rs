//! Kernels: which instructions do the work.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

/// Which instructions do the work. What a suite cannot use of them it leaves alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kernel {
    /// RustCrypto's crates, on every processor.
    Portable,
    /// 128-bit vectors: SSE4.1 with AES-NI and PCLMULQDQ (all but the oldest processors of today).
    AesNi,
    /// 256-bit vectors: AVX2 with VAES and VPCLMULQDQ (AMD since Zen 3, Intel since Ice Lake).
    Vaes256,
    /// 512-bit vectors: AVX-512 with VAES, VPCLMULQDQ and IFMA (AMD since Zen 4, Intel since Ice Lake).
    Vaes512,
}

/// A kernel that is not, or not on this processor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KernelError {
    /// There is none of that name.
    #[error("no kernel is called {0:?}; allowed: portable, aesni, vaes256, vaes512")]
    Unknown(String),
    /// The processor lacks its instructions.
    #[error("this processor lacks the instructions of kernel {0}; available: {available}", available = Available)]
    Unavailable(Kernel),
    /// Keys may have been expanded for another one already.
    #[error("kernel {0} was chosen already")]
    Chosen(Kernel),
}

static CHOSEN: OnceLock<Kernel> = OnceLock::new();

impl Kernel {
    /// All, slowest first.
    pub const ALL: [Kernel; 4] = [Self::Portable, Self::AesNi, Self::Vaes256, Self::Vaes512];

    /// Those that this processor has the instructions for, slowest first.
    pub fn available() -> impl DoubleEndedIterator<Item = Kernel> {
        Self::ALL.into_iter().filter(|kernel| kernel.is_available())
    }

    /// The one for which [`Key::new`](crate::Key::new) expands keys: that of [`Kernel::choose`], else the fastest that
    /// is available.
    #[must_use]
    pub fn chosen() -> Self {
        *CHOSEN.get_or_init(|| Self::available().next_back().unwrap_or(Self::Portable))
    }

    /// Chooses the kernel for the life of the process, before the first key is expanded.
    ///
    /// # Errors
    /// Where the processor lacks its instructions, or another one is in use already.
    pub fn choose(kernel: Kernel) -> Result<(), KernelError> {
        if !kernel.is_available() {
            return Err(KernelError::Unavailable(kernel));
        }
        let chosen = *CHOSEN.get_or_init(|| kernel);
        if chosen == kernel { Ok(()) } else { Err(KernelError::Chosen(chosen)) }
    }

    /// Whether this processor has the instructions for it.
    #[must_use]
    pub fn is_available(self) -> bool {
        macro_rules! has {
            ($($feature:tt)*) => {{
                #[cfg(target_arch = "x86_64")]
                { $(is_x86_feature_detected!($feature))&&* }
                #[cfg(not(target_arch = "x86_64"))]
                { false }
            }};
        }
        let has_128 = || has!("sse4.1" "ssse3" "aes" "pclmulqdq");
        let has_256 = || has_128() && has!("avx2" "bmi2" "vaes" "vpclmulqdq");
        match self {
            Self::Portable => true,
            Self::AesNi => has_128(),
            Self::Vaes256 => has_256(),
            Self::Vaes512 => {
                has_256() && has!("avx512f" "avx512bw" "avx512dq" "avx512vl" "avx512ifma" "avx512vbmi")
            }
        }
    }

    /// The name under which benches, flags and status know it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::AesNi => "aesni",
            Self::Vaes256 => "vaes256",
            Self::Vaes512 => "vaes512",
        }
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kernel {
    type Err = KernelError;

    fn from_str(name: &str) -> Result<Self, KernelError> {
        let named = Self::ALL.into_iter().find(|kernel| kernel.name() == name);
        named.ok_or_else(|| KernelError::Unknown(name.to_owned()))
    }
}

/// The names of all kernels that are available.
struct Available;

impl fmt::Display for Available {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, kernel) in Kernel::available().enumerate() {
            write!(f, "{}{kernel}", if position == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}
