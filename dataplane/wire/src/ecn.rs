//! Explicit congestion notification across a tunnel (RFC 6040).

/// The ECN field: the low two bits of a traffic class (RFC 3168 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ecn {
    /// 00: the transport does not understand ECN.
    NotEct,
    /// 01: it does.
    Ect1,
    /// 10: it does.
    Ect0,
    /// 11: congestion experienced.
    Ce,
}

/// How the outer header's field is made on entry to a tunnel (RFC 6040 §4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The inner field is copied: for an exit that combines both as [`decapsulate`] does.
    Normal,
    /// Not-ECT, whatever the inner field: for an exit that might lose congestion marks.
    Compatibility,
}

/// A packet that its exit from the tunnel must drop (RFC 6040 §4.2): congestion was experienced, and its transport would
/// not understand the mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MustDrop;

impl Ecn {
    /// The field of a traffic class.
    #[must_use]
    pub fn of(traffic_class: u8) -> Self {
        match traffic_class & 3 {
            0 => Self::NotEct,
            1 => Self::Ect1,
            2 => Self::Ect0,
            _ => Self::Ce,
        }
    }

    /// The traffic class with this field, its differentiated services as they were.
    #[must_use]
    pub fn on(self, traffic_class: u8) -> u8 {
        traffic_class & !3 | self as u8
    }
}

/// The outer field of a packet that enters a tunnel (RFC 6040 §4.1, figure 3).
#[must_use]
pub fn encapsulate(mode: Mode, inner: Ecn) -> Ecn {
    match mode {
        Mode::Normal => inner,
        Mode::Compatibility => Ecn::NotEct,
    }
}

/// The inner field of a packet that leaves a tunnel, whichever mode it entered it in (RFC 6040 §4.2, figure 4).
///
/// # Errors
/// Where the packet must be dropped.
pub fn decapsulate(outer: Ecn, inner: Ecn) -> Result<Ecn, MustDrop> {
    match (inner, outer) {
        (Ecn::NotEct, Ecn::Ce) => Err(MustDrop),
        (Ecn::Ect0 | Ecn::Ect1, Ecn::Ce) => Ok(Ecn::Ce),
        (Ecn::Ect0, Ecn::Ect1) => Ok(Ecn::Ect1),
        (Ecn::NotEct | Ecn::Ect1, Ecn::NotEct | Ecn::Ect0 | Ecn::Ect1)
        | (Ecn::Ect0, Ecn::NotEct | Ecn::Ect0)
        | (Ecn::Ce, Ecn::NotEct | Ecn::Ect0 | Ecn::Ect1 | Ecn::Ce) => Ok(inner),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6040, figure 4, row by row: the columns are Not-ECT, ECT(0), ECT(1) and CE in the outer header.
    #[test]
    fn figure_4() {
        const NOT_ECT: u8 = 0b00;
        const ECT0: u8 = 0b10;
        const ECT1: u8 = 0b01;
        const CE: u8 = 0b11;
        const DROP: Result<Ecn, MustDrop> = Err(MustDrop);
        let ok = |bits| Ok(Ecn::of(bits));
        let figure = [
            (NOT_ECT, [ok(NOT_ECT), ok(NOT_ECT), ok(NOT_ECT), DROP]),
            (ECT0, [ok(ECT0), ok(ECT0), ok(ECT1), ok(CE)]),
            (ECT1, [ok(ECT1), ok(ECT1), ok(ECT1), ok(CE)]),
            (CE, [ok(CE), ok(CE), ok(CE), ok(CE)]),
        ];
        for (inner, row) in figure {
            for (outer, expected) in [NOT_ECT, ECT0, ECT1, CE].into_iter().zip(row) {
                assert_eq!(
                    decapsulate(Ecn::of(outer), Ecn::of(inner)),
                    expected,
                    "inner {inner:02b}, outer {outer:02b}"
                );
            }
        }
    }

    /// RFC 6040, figure 3.
    #[test]
    fn figure_3() {
        for bits in 0..4 {
            assert_eq!(encapsulate(Mode::Normal, Ecn::of(bits)), Ecn::of(bits));
            assert_eq!(encapsulate(Mode::Compatibility, Ecn::of(bits)), Ecn::of(0));
        }
    }

    #[test]
    fn differentiated_services_stay() {
        assert_eq!(Ecn::Ce.on(0b1011_1001), 0b1011_1011);
        assert_eq!(Ecn::of(0b1011_1001), Ecn::Ect1);
        assert_eq!(Ecn::Ect0.on(0xff), 0xfe);
    }
}
