//! The NIST curves (RFC 5903).

use p256::elliptic_curve::sec1::{FromSec1Point, ModulusSize, ToSec1Point};
use p256::elliptic_curve::{AffinePoint, CurveArithmetic, FieldBytes, FieldBytesSize, PublicKey, SecretKey};
use zeroize::Zeroizing;

use super::Shared;

/// Our public value. RFC 5903 §7: x and y, without the SEC1 tag byte.
pub(super) fn public<C>(secret: &SecretKey<C>) -> Vec<u8>
where
    C: CurveArithmetic,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
    FieldBytesSize<C>: ModulusSize,
{
    secret.public_key().to_sec1_point(false).as_bytes().iter().skip(1).copied().collect()
}

/// The shared secret, which is x alone (RFC 5903 §7); `None` if the peer's value is no point of the curve.
pub(super) fn agree<C>(secret: &SecretKey<C>, peer: &[u8]) -> Option<Shared>
where
    C: CurveArithmetic,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
    FieldBytesSize<C>: ModulusSize,
{
    if peer.len() != 2 * FieldBytes::<C>::default().len() {
        return None;
    }
    let peer = PublicKey::<C>::from_sec1_bytes(&[&[4u8], peer].concat()).ok()?;
    let shared = secret.diffie_hellman(&peer);
    Some(Zeroizing::new(shared.raw_secret_bytes().to_vec()))
}
