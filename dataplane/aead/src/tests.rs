use super::*;

#[test]
fn wrong_key_length_is_named() {
    let error = Key::new(Suite::Aes192Gcm16, &[0; 16]).unwrap_err();
    assert_eq!(error.to_string(), "a key of 16 bytes for aes-192-gcm; it takes 24");
}

#[test]
fn debug_shows_no_key() {
    let key = Key::new(Suite::Aes128Gcm16, &[0xab; 16]).unwrap();
    assert_eq!(format!("{key:?}"), "Key(aes-128-gcm, redacted)");
}

#[test]
fn kernels_are_known_by_name() {
    for kernel in Kernel::ALL {
        assert_eq!(kernel.name().parse(), Ok(kernel));
    }
    let error = "avx1024".parse::<Kernel>().unwrap_err();
    assert_eq!(error.to_string(), "no kernel is called \"avx1024\"; allowed: portable, aesni, vaes256, vaes512");
}

#[test]
fn suites_have_names_of_their_own() {
    let mut names = Suite::ALL.map(Suite::name);
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
}

/// Packets of these texts, to be sealed under one key from one place to another, all with the same number.
pub(crate) fn unsealed<'a>(key: &'a Key, texts: &'a [Vec<u8>], sealed: &'a mut [Vec<u8>]) -> Vec<Seal<'a>> {
    let packet = |(source, destination)| Seal {
        key,
        nonce: Nonce::counter([0; NONCE]),
        associated_data: AssociatedData::of(1, 1, false),
        buffers: Buffers::Apart { source, destination },
        tail: Tail::EMPTY,
    };
    let places = texts.iter().map(Vec::as_slice).zip(sealed.iter_mut().map(Vec::as_mut_slice));
    places.map(packet).collect()
}
