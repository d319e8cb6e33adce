//! From a TOML value to a checked one.

use std::net::IpAddr;
use std::str::FromStr;

use toml::de::DeValue;

use crate::asn::Asn;
use crate::diagnostic::{OutOfRange, Refusal};
use crate::interface_address::not_of_one_host;
use crate::keyword::{Keyword, UnknownKeyword};
use crate::report::{Complaint, quoted};

/// A text with a checked constructor.
pub(crate) fn text<T>(value: &DeValue<'_>) -> Result<T, Complaint>
where
    T: FromStr,
    T::Err: Refusal,
{
    let text = string(value)?;
    text.parse().map_err(|refusal: T::Err| Complaint::refused(&refusal).quoting(text))
}

/// One word out of a list.
pub(crate) fn word<K: Keyword>(value: &DeValue<'_>) -> Result<K, Complaint> {
    let text = value.as_str().ok_or_else(|| wrong_type(value, &UnknownKeyword::of::<K>().allowed()))?;
    K::from_word(text).map_err(|unknown| Complaint::refused(&unknown).quoting(text))
}

/// Any text at all.
pub(crate) fn string<'v>(value: &'v DeValue<'_>) -> Result<&'v str, Complaint> {
    value.as_str().ok_or_else(|| wrong_type(value, "a string"))
}

/// A number with a checked constructor.
pub(crate) fn number<T>(
    check: impl Fn(i128) -> Result<T, OutOfRange>,
) -> impl Fn(&DeValue<'_>) -> Result<T, Complaint> {
    move |value| {
        let Some(integer) = value.as_integer() else {
            let range = check(i128::MIN).err().map_or(String::new(), |range| format!(", {}", range.allowed()));
            return Err(wrong_type(value, &format!("a whole number{range}")));
        };
        // What does not fit 128 bits is beyond every range, on whichever side.
        let number = i128::from_str_radix(integer.as_str(), integer.radix()).unwrap_or(i128::MAX);
        check(number).map_err(|range| Complaint::refused(&range).value(integer.to_string()))
    }
}

/// One of a few words, each with what it stands for, or a number with a checked constructor.
pub(crate) fn word_or_number<T: Copy>(
    words: &[(&str, T)],
    check: impl Fn(i128) -> Result<T, OutOfRange>,
) -> impl Fn(&DeValue<'_>) -> Result<T, Complaint> {
    move |value| {
        let range = check(i128::MIN).err().map_or(String::new(), |range| range.allowed());
        let listed: String = words.iter().map(|(word, _)| format!("{word}, ")).collect();
        let allowed = format!("{listed}or {range}");
        match value.as_str() {
            None => number(&check)(value).map_err(|complaint| complaint.allowed(allowed)),
            Some(text) => match words.iter().find(|(word, _)| *word == text) {
                Some(&(_, meant)) => Ok(meant),
                None => Err(Complaint::new("is not known").allowed(allowed).quoting(text)),
            },
        }
    }
}

/// The number of an autonomous system.
pub(crate) fn asn(value: &DeValue<'_>) -> Result<Asn, Complaint> {
    number(Asn::from_number)(value).map_err(|complaint| complaint.allowed(Asn::ALLOWED))
}

/// Any number of 32 bits.
pub(crate) fn any_number(value: &DeValue<'_>) -> Result<u32, Complaint> {
    number(|number| OutOfRange::check::<u32>(number, 0, u32::MAX))(value)
}

/// `true` or `false`.
pub(crate) fn boolean(value: &DeValue<'_>) -> Result<bool, Complaint> {
    value.as_bool().ok_or_else(|| wrong_type(value, "true or false"))
}

/// An address of any kind.
pub(crate) fn any_address(value: &DeValue<'_>) -> Result<IpAddr, Complaint> {
    const ALLOWED: &str = "an IPv4 or IPv6 address";
    let text = string(value)?;
    text.parse().map_err(|_| Complaint::new("is not an address").allowed(ALLOWED).quoting(text))
}

/// An address that a host can have and that is routed.
pub(crate) fn address(value: &DeValue<'_>) -> Result<IpAddr, Complaint> {
    let address = any_address(value)?;
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    match not_of_one_host(address).or(link_local.then_some("is a link-local address")) {
        None => Ok(address),
        Some(problem) => {
            let complaint = Complaint::new(problem).allowed("an address that is routed between the two ends");
            Err(complaint.quoting(string(value)?))
        }
    }
}

/// That a value is of another type than its field.
pub(crate) fn wrong_type(value: &DeValue<'_>, allowed: &str) -> Complaint {
    let (kind, shown) = match value {
        DeValue::String(text) => ("a string", Some(quoted(text))),
        DeValue::Integer(integer) => ("a whole number", Some(integer.to_string())),
        DeValue::Float(float) => ("a fraction", Some(float.to_string())),
        DeValue::Boolean(boolean) => ("a truth value", Some(boolean.to_string())),
        DeValue::Datetime(datetime) => ("a date or time", Some(datetime.to_string())),
        DeValue::Array(_) => ("a list", None),
        DeValue::Table(_) => ("a table", None),
    };
    let complaint = Complaint::new(format!("is {kind}")).allowed(allowed);
    match shown {
        Some(shown) => complaint.value(shown),
        None => complaint,
    }
}
